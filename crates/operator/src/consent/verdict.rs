//! The verdict: which references nobody has allowed. Pure.

use std::collections::BTreeSet;

use kubestash_api::labels;

use super::references::reachable;
use super::{Need, Reference};
use crate::validation::Violation;

/// The object whose references are judged, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The namespace from which things are used: its own, or that of what is made from it.
    pub from: String,
}

/// The references that are neither granted to the object nor consented to by who owns what they
/// lead to.
#[must_use]
pub(crate) fn refusals(
    object: &Named,
    references: &[Reference],
    granted: &BTreeSet<Need>,
    consented: impl Fn(&Need) -> bool,
) -> Vec<Violation> {
    let is_refused = |reference: &Reference| {
        reference.required && !granted.contains(&reference.need) && !consented(&reference.need)
    };
    reachable(references, is_refused)
        .into_iter()
        .filter(|reference| is_refused(reference))
        .map(|reference| Violation {
            field: reference.field.clone(),
            message: format!(
                "{} from namespace {} is not allowed: {}, or let a user who may {} allow it: \
                 kubectl annotate {} -n {} {} {}=check --overwrite",
                reference.need,
                object.from,
                owners_remedy(&reference.need, &object.from),
                reference.need.right(),
                object.kind.to_ascii_lowercase(),
                object.namespace,
                object.name,
                labels::GRANTED_REFERENCES,
            ),
        })
        .collect()
}

/// The references that the author of an object has no right to make.
#[must_use]
pub(crate) fn denial(object: &Named, author: &str, reference: &Reference) -> Violation {
    Violation {
        field: reference.field.clone(),
        message: format!(
            "{} from namespace {} is not allowed: {author} may not {}; {}",
            reference.need,
            object.from,
            reference.need.right(),
            owners_remedy(&reference.need, &object.from),
        ),
    }
}

/// What the owner of what is referred to can do.
fn owners_remedy(need: &Need, own: &str) -> String {
    let annotate = |object: String, key: &str| {
        format!("let its owner annotate it: kubectl annotate {object} {key}={own}")
    };
    match need {
        Need::ReadSecret { namespace, name } => annotate(
            format!("secret -n {namespace} {name}"),
            labels::ALLOWED_NAMESPACES,
        ),
        Need::BackUp {
            namespace, name, ..
        } => annotate(
            format!("appbinding -n {namespace} {name}"),
            labels::ALLOWED_NAMESPACES,
        ),
        Need::RestoreInto {
            namespace, name, ..
        } => annotate(
            format!("appbinding -n {namespace} {name}"),
            labels::RESTORE_FROM_NAMESPACES,
        ),
        Need::ReadData {
            namespace,
            repository,
            ..
        } => {
            let name = match repository.as_str() {
                "" => "<the Repository>",
                name => name,
            };
            annotate(
                format!("repository.storage.kubestash.com -n {namespace} {name}"),
                labels::ALLOWED_NAMESPACES,
            )
        }
        Need::Create { namespace, .. } | Need::Replace { namespace, .. } => annotate(
            format!("namespace {namespace}"),
            labels::RESTORE_FROM_NAMESPACES,
        ),
        Need::Configure { namespace } => {
            annotate(format!("namespace {namespace}"), labels::ALLOWED_NAMESPACES)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Named {
        Named {
            kind: "BackupConfiguration".to_owned(),
            namespace: "demo".to_owned(),
            name: "bc".to_owned(),
            from: "demo".to_owned(),
        }
    }

    fn reference(name: &str, required: bool) -> Reference {
        let need = Need::ReadSecret {
            namespace: "vault".to_owned(),
            name: name.to_owned(),
        };
        Reference {
            field: format!("spec.{name}"),
            need,
            required,
            behind: false,
        }
    }

    #[test]
    fn what_lies_behind_a_refused_target_is_not_told() {
        let target = |namespace: &str, behind| Reference {
            field: "spec.target".to_owned(),
            need: Need::BackUp {
                group: String::new(),
                kind: "AppBinding".to_owned(),
                namespace: namespace.to_owned(),
                name: "a".to_owned(),
            },
            required: true,
            behind,
        };
        let all = [
            target("other", false),
            target("hidden", true),
            reference("s", true),
        ];
        let told = |granted: &[&Reference]| -> Vec<String> {
            let granted = granted
                .iter()
                .map(|reference| reference.need.clone())
                .collect();
            let refused = refusals(&named(), &all, &granted, |_| false);
            refused.into_iter().map(|refused| refused.message).collect()
        };
        assert_eq!(told(&[]).len(), 2);
        assert!(!told(&[]).concat().contains("hidden"));
        assert!(told(&[&all[0]]).concat().contains("hidden"));
    }

    #[test]
    fn what_is_neither_granted_nor_consented_to_is_refused() {
        let references = [
            reference("granted", true),
            reference("consented", true),
            reference("neither", true),
            reference("perhaps", false),
        ];
        let granted = [references[0].need.clone()].into();
        let consented = |need: &Need| *need == references[1].need;
        let refusals = refusals(&named(), &references, &granted, consented);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].field, "spec.neither");
        for words in [
            "reading Secret vault/neither from namespace demo",
            "kubectl annotate secret -n vault neither kubestash.com/allowed-namespaces=demo",
            "kubectl annotate backupconfiguration -n demo bc kubestash.com/granted-references=check --overwrite",
        ] {
            assert!(
                refusals[0].message.contains(words),
                "{}",
                refusals[0].message
            );
        }
    }

    #[test]
    fn a_denial_says_who_lacks_which_right() {
        let denied = denial(&named(), "jane", &reference("s", true)).to_string();
        assert!(
            denied.contains("spec.s: reading Secret vault/s from namespace demo is not allowed: jane may not get Secret vault/s"),
            "{denied}"
        );
    }
}
