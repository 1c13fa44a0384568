//! Annotations that look as if they asked for a backup, and do not: pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kubestash_api::core::BackupBlueprint;
use kubestash_api::labels;
use kubestash_domain::nearest::distance;
use kubestash_domain::variables;
use serde_json::json;

use crate::runtime::events::Notice;

/// The domain of our annotations.
const DOMAIN: &str = "kubestash.com";
/// So many letters may be wrong in a key of another domain that is still taken for ours.
const NEAR: usize = 2;

/// What to tell about the annotations of a target; none if each means something. `blueprint` is the
/// one they name.
pub(super) fn notice(
    annotations: &BTreeMap<String, String>,
    blueprint: Option<&BackupBlueprint>,
) -> Option<Notice> {
    let mut mistakes: Vec<String> = annotations.keys().filter_map(|key| unknown(key)).collect();
    mistakes.extend(without_name(annotations));
    if let Some(blueprint) = blueprint {
        mistakes.extend(unused(annotations, blueprint));
    }
    (!mistakes.is_empty()).then(|| Notice::warning("AnnotationIgnored", mistakes.join("; ")))
}

/// Says that a key means nothing, if it is one of ours that is misspelt.
fn unknown(key: &str) -> Option<String> {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let is_known = labels::ANNOTATIONS.contains(&key) || key.starts_with(labels::VARIABLE_PREFIX);
    if is_known {
        return None;
    }
    let is_ours = domain == DOMAIN
        || domain
            .strip_suffix(DOMAIN)
            .is_some_and(|sub| sub.ends_with('.'));
    let (distance, nearest) = nearest(key);
    (is_ours || distance <= NEAR).then(|| {
        format!("the annotation {key} has no meaning and is ignored: did you mean {nearest}?")
    })
}

/// The key that was most likely meant, and how many letters are different.
fn nearest(key: &str) -> (usize, String) {
    let asking = [
        labels::BLUEPRINT_NAME,
        labels::BLUEPRINT_NAMESPACE,
        labels::BLUEPRINT_SESSION_NAMES,
    ];
    // Of a variable the name is whatever stands there.
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let variable = format!("{}{name}", labels::VARIABLE_PREFIX);
    let meant = asking.map(str::to_owned).into_iter().chain([variable]);
    meant
        .map(|known| (distance(key, &known), known))
        .min()
        .unwrap_or_default()
}

/// Says that the annotations ask for nothing without a blueprint's name.
fn without_name(annotations: &BTreeMap<String, String>) -> Option<String> {
    let has_name = annotations
        .get(labels::BLUEPRINT_NAME)
        .is_some_and(|name| !name.trim().is_empty());
    let others: Vec<_> = annotations
        .keys()
        .filter(|key| {
            [labels::BLUEPRINT_NAMESPACE, labels::BLUEPRINT_SESSION_NAMES].contains(&key.as_str())
                || key.starts_with(labels::VARIABLE_PREFIX)
        })
        .map(String::as_str)
        .collect();
    (!has_name && !others.is_empty()).then(|| {
        format!(
            "no backup is created: the annotation {} is missing, and without it {} have no effect; add it, or remove them",
            labels::BLUEPRINT_NAME,
            others.join(", ")
        )
    })
}

/// Says which values are for variables that the blueprint does not have.
fn unused(annotations: &BTreeMap<String, String>, blueprint: &BackupBlueprint) -> Option<String> {
    let template = blueprint.spec.backup_configuration_template.as_ref()?;
    let known = variables::names(&json!(template));
    let given: BTreeSet<&str> = annotations
        .keys()
        .filter_map(|key| key.strip_prefix(labels::VARIABLE_PREFIX))
        .collect();
    let unused: Vec<_> = given
        .into_iter()
        .filter(|name| !known.contains(*name))
        .map(|name| format!("{}{name}", labels::VARIABLE_PREFIX))
        .collect();
    if unused.is_empty() {
        return None;
    }
    let known = match known.is_empty() {
        true => "no variables".to_owned(),
        false => format!("only {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Some(format!(
        "BackupBlueprint {} uses {known}, so {} changes nothing",
        full_name(blueprint),
        unused.join(", ")
    ))
}

fn full_name(blueprint: &BackupBlueprint) -> String {
    format!(
        "{}/{}",
        blueprint.namespace().unwrap_or_default(),
        blueprint.name_any()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(keys: &[&str], blueprint: Option<&BackupBlueprint>) -> Option<String> {
        let annotations = keys
            .iter()
            .map(|key| ((*key).to_owned(), "x".to_owned()))
            .collect();
        notice(&annotations, blueprint).map(|notice| notice.note)
    }

    #[test]
    fn a_misspelt_key_of_ours_is_told_with_the_one_that_was_meant() {
        let name = labels::BLUEPRINT_NAME;
        for (key, meant) in [
            ("blueprint.kubestash.com/nmae", name),
            ("blueprint.kubestash.com/Name", name),
            ("blueprints.kubestash.com/name", name),
            ("kubestash.com/name", name),
            ("blueprint.kubstash.com/name", name),
            (
                "blueprint.kubestash.com/session-name",
                "blueprint.kubestash.com/session-names",
            ),
            (
                "blueprint.kubestash.com/name-space",
                "blueprint.kubestash.com/namespace",
            ),
            (
                "variable.kubestash.com/schedule",
                "variables.kubestash.com/schedule",
            ),
        ] {
            let note = told(&[key], None).unwrap();
            assert!(
                note.contains(&format!("annotation {key} has no meaning")),
                "{note}"
            );
            assert!(note.contains(&format!("did you mean {meant}?")), "{note}");
        }
    }

    #[test]
    fn what_means_something_or_belongs_to_others_is_not_told() {
        for keys in [
            &[][..],
            &[
                "kubectl.kubernetes.io/last-applied-configuration",
                "name",
                "example.com/name",
            ],
            &[
                "blueprint.kubestash.com/name",
                "blueprint.kubestash.com/namespace",
            ],
            &[
                "blueprint.kubestash.com/name",
                "variables.kubestash.com/anything",
            ],
            &labels::ANNOTATIONS[..],
            &["notkubestash.com/name-of-something-else"],
        ] {
            assert_eq!(told(keys, None), None, "{keys:?}");
        }
    }

    #[test]
    fn annotations_without_the_blueprints_name_are_told_in_one_event() {
        for key in [
            "blueprint.kubestash.com/namespace",
            "blueprint.kubestash.com/session-names",
            "variables.kubestash.com/schedule",
        ] {
            let note = told(&[key], None).unwrap();
            assert!(
                note.contains("blueprint.kubestash.com/name is missing") && note.contains(key),
                "{note}"
            );
        }
        let both = told(
            &[
                "blueprint.kubestash.com/nmae",
                "blueprint.kubestash.com/namespace",
            ],
            None,
        )
        .unwrap();
        assert!(
            both.contains("did you mean") && both.contains("is missing"),
            "{both}"
        );
    }

    #[test]
    fn a_value_for_a_variable_that_the_blueprint_does_not_have_is_told() {
        let blueprint: BackupBlueprint = serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupBlueprint",
            "metadata": {"name": "b", "namespace": "demo"},
            "spec": {"backupConfigurationTemplate": {
                "backends": [{"name": "${backend:=gcs}"}],
                "sessions": [{"name": "s", "scheduler": {"schedule": "${schedule}", "jobTemplate": {}}}]}},
        }))
        .unwrap();
        let name = "blueprint.kubestash.com/name";
        let known = [
            name,
            "variables.kubestash.com/backend",
            "variables.kubestash.com/schedule",
        ];
        assert_eq!(told(&known, Some(&blueprint)), None);
        let note = told(&[name, "variables.kubestash.com/shedule"], Some(&blueprint)).unwrap();
        assert_eq!(
            note,
            "BackupBlueprint demo/b uses only backend, schedule, so variables.kubestash.com/shedule changes nothing"
        );
    }
}
