//! What the annotations on a target ask for.

use std::collections::BTreeMap;

use kubestash_api::labels;
use kubestash_domain::variables::Variables;

/// A wish for automatic backup, as written in the annotations of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The BackupBlueprint's name.
    pub blueprint: String,
    /// The BackupBlueprint's namespace; the target's own if the annotation is missing.
    pub namespace: String,
    /// The sessions of the blueprint that are wanted; none: all of them.
    pub sessions: Option<Vec<String>>,
    /// Values for the blueprint's variables.
    pub variables: Variables,
}

impl Request {
    /// Reads the annotations of a target in `target_namespace`; none if it does not ask for a
    /// backup.
    #[must_use]
    pub(crate) fn read(
        annotations: &BTreeMap<String, String>,
        target_namespace: &str,
    ) -> Option<Self> {
        let given = |key: &str| {
            annotations
                .get(key)
                .map(|value| value.trim())
                .filter(|value| !value.is_empty())
        };
        let sessions = given(labels::BLUEPRINT_SESSION_NAMES).map(|names| {
            names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        Some(Self {
            blueprint: given(labels::BLUEPRINT_NAME)?.to_owned(),
            namespace: given(labels::BLUEPRINT_NAMESPACE)
                .unwrap_or(target_namespace)
                .to_owned(),
            sessions: sessions.filter(|names| !names.is_empty()),
            variables: annotations
                .iter()
                .filter_map(|(key, value)| {
                    let name = key.strip_prefix(labels::VARIABLE_PREFIX)?;
                    Some((name.to_owned(), value.clone()))
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_tutorials_annotations_are_read() {
        let annotations = annotations(&[
            (
                "blueprint.kubestash.com/name",
                "druid-customize-backup-blueprint",
            ),
            ("blueprint.kubestash.com/namespace", "demo"),
            ("variables.kubestash.com/schedule", "*/10 * * * *"),
            ("variables.kubestash.com/repoName", "customize-blueprint"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ]);
        let request = Request::read(&annotations, "dev").unwrap();
        assert_eq!(request.blueprint, "druid-customize-backup-blueprint");
        assert_eq!(request.namespace, "demo");
        assert_eq!(request.sessions, None);
        assert_eq!(request.variables.len(), 2);
        assert_eq!(request.variables["schedule"], "*/10 * * * *");
    }

    #[test]
    fn without_a_name_nothing_is_asked_for() {
        for pairs in [
            &[][..],
            &[("blueprint.kubestash.com/namespace", "demo")],
            &[("blueprint.kubestash.com/name", "  ")],
            &[("variables.kubestash.com/schedule", "@daily")],
        ] {
            assert_eq!(Request::read(&annotations(pairs), "demo"), None);
        }
    }

    #[test]
    fn the_namespace_defaults_to_the_targets_and_sessions_are_a_comma_list() {
        let cases = [
            ("a, b,,c ", Some(vec!["a", "b", "c"])),
            ("only", Some(vec!["only"])),
            (" , ", None),
            ("", None),
        ];
        for (names, expected) in cases {
            let annotations = annotations(&[
                ("blueprint.kubestash.com/name", "b"),
                ("blueprint.kubestash.com/session-names", names),
                ("variables.kubestash.com/empty", ""),
            ]);
            let request = Request::read(&annotations, "dev").unwrap();
            assert_eq!(request.namespace, "dev");
            let sessions = request
                .sessions
                .as_ref()
                .map(|names| names.iter().map(String::as_str).collect());
            assert_eq!(sessions, expected, "{names:?}");
            assert_eq!(request.variables["empty"], "");
        }
    }
}
