//! BackupStorage: one default a namespace, one storage a directory, no move while data is there, a
//! place that can be one.

use kube::ResourceExt;
use kubestash_api::storage::{Backend, BackupStorage, Provider};
use kubestash_domain::layout;

use super::{Others, Violation};

mod place;

/// Judges a BackupStorage; `before` is what it was, if it is not new.
#[must_use]
pub(crate) fn backup_storage(
    object: &BackupStorage,
    before: Option<&BackupStorage>,
    others: &Others,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(second_default(object, others));
    if let Some(before) = before {
        violations.extend(moved_in_use(object, before));
    }
    violations.extend(taken(object, others));
    let storage = object.spec.storage.as_ref();
    // One that is there already goes on as it does; its conditions say what is wrong with it.
    if before.is_none_or(|before| before.spec.storage.as_ref() != storage) {
        violations.extend(storage.into_iter().flat_map(place::unusable));
    }
    violations
}

fn is_other(object: &BackupStorage, candidate: &BackupStorage) -> bool {
    (object.namespace(), object.name_any()) != (candidate.namespace(), candidate.name_any())
}

fn full_name(storage: &BackupStorage) -> String {
    format!(
        "{}/{}",
        storage.namespace().unwrap_or_default(),
        storage.name_any()
    )
}

fn second_default(object: &BackupStorage, others: &Others) -> Option<Violation> {
    if object.spec.default != Some(true) {
        return None;
    }
    let first = others.storages.iter().find(|candidate| {
        candidate.spec.default == Some(true)
            && candidate.namespace() == object.namespace()
            && is_other(object, candidate)
            && candidate.metadata.deletion_timestamp.is_none()
    })?;
    Some(Violation::new(
        "spec.default",
        format!(
            "multiple default BackupStorages in namespace {} are not allowed, {} is the default already: \
             set default to false on one of them",
            object.namespace().unwrap_or_default(),
            first.name_any()
        ),
    ))
}

fn moved_in_use(object: &BackupStorage, before: &BackupStorage) -> Option<Violation> {
    let used = before
        .status
        .as_ref()
        .map(|status| status.repositories.as_slice())
        .unwrap_or_default();
    if used.is_empty() || object.spec.storage == before.spec.storage {
        return None;
    }
    let names: Vec<_> = used
        .iter()
        .take(3)
        .map(|repository| {
            format!(
                "{}/{}",
                repository.namespace.as_deref().unwrap_or_default(),
                repository.name
            )
        })
        .collect();
    Some(Violation::new(
        "spec.storage",
        format!(
            "this BackupStorage is currently in use by {} {} ({}) and its storage cannot be modified: \
             create another BackupStorage, or delete those first",
            used.len(),
            if used.len() == 1 {
                "Repository"
            } else {
                "Repositories"
            },
            names.join(", ")
        ),
    ))
}

fn taken(object: &BackupStorage, others: &Others) -> Option<Violation> {
    let storage = object.spec.storage.as_ref()?;
    let first = others.storages.iter().find(|candidate| {
        is_other(object, candidate)
            && candidate
                .spec
                .storage
                .as_ref()
                .is_some_and(|other| same_place(storage, other))
    })?;
    Some(Violation::new(
        "spec.storage",
        format!(
            "no two BackupStorages may point to the same directory of the same bucket, and {} points there: \
             give this one another prefix",
            full_name(first)
        ),
    ))
}

/// Whether two storages are one directory of one bucket. Volumes are never compared: equal
/// descriptions can mean different volumes in different namespaces.
#[must_use]
pub(crate) fn same_place(left: &Backend, right: &Backend) -> bool {
    match (place(left), place(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

fn place(storage: &Backend) -> Option<(Provider, Vec<String>)> {
    let provider = storage.known_provider()?;
    let text = |value: &Option<String>| {
        value
            .as_deref()
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned()
    };
    let prefix = |value: &Option<String>| layout::join(&[value.as_deref().unwrap_or_default()]);
    let parts = match provider {
        Provider::S3 => {
            let s3 = storage.s3.as_ref()?;
            // Two servers may both have a bucket of that name.
            vec![
                endpoint(&text(&s3.endpoint)),
                text(&s3.bucket),
                text(&s3.region),
                prefix(&s3.prefix),
            ]
        }
        Provider::Gcs => {
            let gcs = storage.gcs.as_ref()?;
            vec![text(&gcs.bucket), prefix(&gcs.prefix)]
        }
        Provider::Azure => {
            let azure = storage.azure.as_ref()?;
            vec![
                text(&azure.storage_account),
                text(&azure.container),
                prefix(&azure.prefix),
            ]
        }
        Provider::Local => return None,
    };
    Some((provider, parts))
}

/// Scheme and host are the same in any case; the scheme's own port is the same as none.
fn endpoint(url: &str) -> String {
    let lower = url.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("https://") {
        rest.strip_suffix(":443").unwrap_or(rest).to_owned()
    } else if let Some(rest) = lower.strip_prefix("http://") {
        rest.strip_suffix(":80").unwrap_or(rest).to_owned()
    } else {
        lower
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn storage(name: &str, namespace: &str, spec: Value) -> BackupStorage {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        }))
        .unwrap()
    }

    fn others(storages: Vec<BackupStorage>) -> Others {
        Others {
            storages: storages.into_iter().map(Arc::new).collect(),
            ..Others::default()
        }
    }

    fn fields(violations: &[Violation]) -> Vec<&str> {
        violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect()
    }

    #[test]
    fn a_namespace_has_one_default() {
        let first = storage("first", "demo", json!({"default": true}));
        let cases = [
            ("second", "demo", true, vec!["spec.default"]),
            ("second", "demo", false, vec![]),
            ("second", "other", true, vec![]),
            // The same object, as when it is updated.
            ("first", "demo", true, vec![]),
        ];
        for (name, namespace, default, expected) in cases {
            let object = storage(name, namespace, json!({"default": default}));
            let violations = backup_storage(&object, None, &others(vec![first.clone()]));
            assert_eq!(
                fields(&violations),
                expected,
                "{namespace}/{name} {default}"
            );
        }
    }

    #[test]
    fn a_directory_of_a_bucket_belongs_to_one_storage() {
        let gcs = |bucket: &str, prefix: &str| json!({"provider": "gcs", "gcs": {"bucket": bucket, "prefix": prefix}});
        let s3 = |endpoint: &str, region: &str| json!({"provider": "s3", "s3": {"endpoint": endpoint, "bucket": "b", "region": region, "prefix": "p"}});
        let azure = |account: &str| json!({"provider": "azure", "azure": {"storageAccount": account, "container": "c", "prefix": "p"}});
        let local = json!({"provider": "local", "local": {"mountPath": "/data", "hostPath": {"path": "/x"}}});
        let cases = [
            (
                gcs("kubestash-qa", "blueprint"),
                gcs("kubestash-qa", "/blueprint/"),
                true,
            ),
            (
                gcs("kubestash-qa", "blueprint"),
                gcs("kubestash-qa", "other"),
                false,
            ),
            (
                gcs("kubestash-qa", ""),
                gcs("kubestash-qa", "blueprint"),
                false,
            ),
            (s3("", ""), s3("", ""), true),
            (s3("http://one:9000", ""), s3("http://two:9000", ""), false),
            (s3("https://one:443/", ""), s3("HTTPS://ONE", ""), true),
            (s3("http://one", "a"), s3("http://one", "b"), false),
            (azure("a"), azure("a"), true),
            (azure("a"), azure("b"), false),
            (gcs("b", "p"), s3("", ""), false),
            (local.clone(), local, false),
        ];
        for (left, right, clash) in cases {
            let first = storage("first", "demo", json!({"storage": left}));
            let second = storage("second", "other", json!({"storage": right}));
            let violations = backup_storage(&second, None, &others(vec![first.clone()]));
            let expected: &[&str] = if clash { &["spec.storage"] } else { &[] };
            assert_eq!(fields(&violations), expected, "{left} {right}");
            if clash {
                assert!(
                    violations[0].message.contains("demo/first"),
                    "{}",
                    violations[0]
                );
            }
        }
    }

    #[test]
    fn the_place_cannot_change_while_repositories_use_it() {
        let spec = |prefix: &str| json!({"storage": {"provider": "gcs", "gcs": {"bucket": "b", "prefix": prefix}}});
        let mut before = storage("s", "demo", spec("one"));
        let after = storage("s", "demo", spec("two"));
        assert_eq!(
            backup_storage(&after, Some(&before), &Others::default()),
            []
        );
        before.status =
            serde_json::from_value(json!({"repositories": [{"name": "r", "namespace": "demo"}]}))
                .unwrap();
        let violations = backup_storage(&after, Some(&before), &Others::default());
        assert_eq!(fields(&violations), ["spec.storage"]);
        assert!(
            violations[0].message.contains("demo/r"),
            "{}",
            violations[0]
        );
        assert_eq!(
            backup_storage(&before, Some(&before), &Others::default()),
            []
        );
    }
}
