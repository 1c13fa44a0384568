//! Labels and annotations of a database's objects, as KubeDB sets them.

use std::collections::BTreeMap;

use kubestash_api::labels;

/// Value of `app.kubernetes.io/managed-by`.
pub(crate) const KUBEDB: &str = "kubedb.com";

/// Labels of every object made for the database `name`; `resource` is `druids`, `mysqls`, ….
pub(crate) fn of(resource: &str, name: &str) -> BTreeMap<String, String> {
    [
        (labels::COMPONENT, labels::component::DATABASE.to_owned()),
        (labels::INSTANCE, name.to_owned()),
        (labels::MANAGED_BY, KUBEDB.to_owned()),
        (labels::NAME, format!("{resource}.kubedb.com")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// Annotations that go from a database to its AppBinding: all but KubeDB's own.
pub(crate) fn copied(annotations: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| {
            let domain = key.split_once('/').map_or("", |(domain, _)| domain);
            domain != KUBEDB && !domain.ends_with(".kubedb.com")
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blueprint_annotations_are_copied_and_kubedbs_own_are_not() {
        let given: BTreeMap<String, String> = [
            ("blueprint.kubestash.com/name", "b"),
            ("variables.kubestash.com/schedule", "*/5 * * * *"),
            ("kubedb.com/x", "1"),
            ("ops.kubedb.com/y", "2"),
            ("plain", "3"),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        let keys: Vec<String> = copied(Some(&given)).into_keys().collect();
        assert_eq!(
            keys,
            [
                "blueprint.kubestash.com/name",
                "plain",
                "variables.kubestash.com/schedule"
            ]
        );
    }
}
