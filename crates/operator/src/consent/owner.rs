//! The owner's consent: an annotation on what is referred to, which only who may write there can
//! set.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kubestash_api::labels;

use super::Need;
use crate::context::Context;

/// Whether `annotations` let objects of `namespace` in by the list under `key`.
#[must_use]
fn lists(annotations: &BTreeMap<String, String>, key: &str, namespace: &str) -> bool {
    let list = annotations.get(key).map(String::as_str).unwrap_or_default();
    let mut listed = list.split(',').map(str::trim);
    !namespace.is_empty() && listed.any(|listed| listed == namespace || listed == "*")
}

/// Whether the owner of what `need` is about lets objects of the namespace `own` do it.
pub(super) fn consented(ctx: &Context, need: &Need, own: &str) -> bool {
    let watches = &ctx.watches;
    let database = |namespace: &str, name: &str, key: &str| {
        let binding = watches.app_bindings.get(namespace, name);
        let druid = watches.druids.get(namespace, name);
        binding.is_some_and(|found| lists(found.annotations(), key, own))
            || druid.is_some_and(|found| lists(found.annotations(), key, own))
    };
    let of_namespace = |namespace: &str, key: &str| {
        let found = watches.namespaces.get("", namespace);
        found.is_some_and(|found| lists(found.annotations(), key, own))
    };
    match need {
        Need::ReadSecret { namespace, name } => {
            let secret = watches.secrets.get(namespace, name);
            secret.is_some_and(|found| lists(found.annotations(), labels::ALLOWED_NAMESPACES, own))
        }
        Need::BackUp {
            namespace, name, ..
        } => database(namespace, name, labels::ALLOWED_NAMESPACES),
        Need::RestoreInto {
            namespace, name, ..
        } => database(namespace, name, labels::RESTORE_FROM_NAMESPACES),
        Need::ReadData {
            namespace,
            repository,
            snapshot,
            ..
        } => {
            // The Snapshot says which Repository it is of; that is of its own namespace.
            let of_snapshot = watches
                .snapshots
                .get(namespace, snapshot)
                .map(|found| found.spec.repository.clone());
            let name = of_snapshot.unwrap_or_else(|| repository.clone());
            let found = watches.repositories.get(namespace, &name);
            found.is_some_and(|found| lists(found.annotations(), labels::ALLOWED_NAMESPACES, own))
        }
        Need::Create { namespace, .. } | Need::Replace { namespace, .. } => {
            of_namespace(namespace, labels::RESTORE_FROM_NAMESPACES)
        }
        Need::Configure { namespace } => of_namespace(namespace, labels::ALLOWED_NAMESPACES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_that_is_listed_is_let_in() {
        let cases = [
            ("demo", true),
            ("a, demo ,b", true),
            ("*", true),
            ("a,*", true),
            ("", false),
            ("demo2", false),
            ("dem*", false),
            ("demo b", false),
        ];
        for (list, expected) in cases {
            let annotations = [("key".to_owned(), list.to_owned())].into();
            assert_eq!(lists(&annotations, "key", "demo"), expected, "{list:?}");
            assert!(!lists(&annotations, "another", "demo"));
        }
        let empty = [("key".to_owned(), ",".to_owned())].into();
        assert!(!lists(&empty, "key", ""));
    }
}
