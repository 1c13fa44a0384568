use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

/// The tutorial's configuration, changed by JSON pointers.
fn configuration(changes: &[(&str, Value)]) -> BackupConfiguration {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "appbinding-sample-druid", "namespace": "demo"},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "backends": [{
                "name": "gcs-backend",
                "storageRef": {"name": "gcs-storage", "namespace": "demo"},
                "retentionPolicy": {"name": "demo-retention", "namespace": "demo"},
            }],
            "sessions": [session("frequent-backup", "default-blueprint", "/default-blueprint")],
        },
    });
    for (pointer, value) in changes {
        *object.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn session(name: &str, repository: &str, directory: &str) -> Value {
    json!({
        "name": name,
        "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1}},
        "repositories": [{"name": repository, "backend": "gcs-backend", "directory": directory}],
        "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
    })
}

fn from<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn repository(namespace: &str, name: &str, target: &str, storage: Value, path: &str) -> Others {
    let repository = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": target, "namespace": "demo"},
            "storageRef": storage, "path": path,
        },
    });
    Others {
        repositories: vec![from(repository)],
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
fn the_tutorials_configuration_breaks_no_rule() {
    assert_eq!(
        backup_configuration(&configuration(&[]), &Others::default()),
        []
    );
}

#[test]
fn each_missing_or_doubled_part_is_named() {
    let backend = json!({"name": "gcs-backend", "storageRef": {"name": "s"}, "retentionPolicy": {"name": "p"}});
    let cases = [
        (
            "/spec/backends",
            json!([]),
            vec!["spec.backends", "spec.sessions[0].repositories[0].backend"],
        ),
        (
            "/spec/backends",
            json!([backend, backend]),
            vec!["spec.backends[1].name"],
        ),
        (
            "/spec/backends/0/retentionPolicy",
            Value::Null,
            vec!["spec.backends[0].retentionPolicy"],
        ),
        (
            "/spec/backends/0/storageRef",
            Value::Null,
            vec!["spec.backends[0].storageRef"],
        ),
        ("/spec/sessions", json!([]), vec!["spec.sessions"]),
        (
            "/spec/sessions",
            json!([session("a", "r", "d"), session("a", "r", "d")]),
            vec!["spec.sessions[1].name"],
        ),
        (
            "/spec/sessions/0/name",
            json!(""),
            vec!["spec.sessions[0].name"],
        ),
        (
            "/spec/sessions/0/scheduler",
            Value::Null,
            vec!["spec.sessions[0].scheduler"],
        ),
        (
            "/spec/sessions/0/scheduler/schedule",
            json!("*/5 * * *"),
            vec!["spec.sessions[0].scheduler.schedule"],
        ),
        (
            "/spec/sessions/0/addon",
            Value::Null,
            vec!["spec.sessions[0].addon"],
        ),
        (
            "/spec/sessions/0/addon/name",
            json!(""),
            vec!["spec.sessions[0].addon.name"],
        ),
        (
            "/spec/sessions/0/addon/tasks",
            json!([]),
            vec!["spec.sessions[0].addon.tasks"],
        ),
        (
            "/spec/sessions/0/addon/tasks/0/name",
            json!(""),
            vec!["spec.sessions[0].addon.tasks[0].name"],
        ),
        (
            "/spec/sessions/0/repositories",
            json!([]),
            vec!["spec.sessions[0].repositories"],
        ),
        (
            "/spec/sessions/0/repositories/0/backend",
            json!("x"),
            vec!["spec.sessions[0].repositories[0].backend"],
        ),
        (
            "/spec/sessions/0/repositories/0/directory",
            json!(""),
            vec!["spec.sessions[0].repositories[0].directory"],
        ),
        (
            "/spec/sessions/0/repositories",
            json!([
                {"name": "r", "backend": "gcs-backend", "directory": "a"},
                {"name": "r", "backend": "gcs-backend", "directory": "b"},
            ]),
            vec!["spec.sessions[0].repositories[1].name"],
        ),
    ];
    for (pointer, value, expected) in cases {
        let violations = backup_configuration(
            &configuration(&[(pointer, value.clone())]),
            &Others::default(),
        );
        assert_eq!(fields(&violations), expected, "{pointer} = {value}");
    }
}

#[test]
fn a_second_target_cannot_have_the_repository_of_the_first() {
    let storage = json!({"name": "gcs-storage", "namespace": "demo"});
    let cases = [
        // The same Repository of the same target: the configuration's own.
        (
            repository(
                "demo",
                "default-blueprint",
                "sample-druid",
                storage.clone(),
                "/default-blueprint",
            ),
            vec![],
        ),
        // A reference without a namespace means the same one.
        (
            repository(
                "demo",
                "default-blueprint",
                "sample-druid",
                json!({"name": "gcs-storage"}),
                "default-blueprint",
            ),
            vec![],
        ),
        (
            repository(
                "demo",
                "default-blueprint",
                "sample-druid-2",
                storage.clone(),
                "/default-blueprint",
            ),
            vec!["spec.sessions[0].repositories[0].name"],
        ),
        (
            repository(
                "demo",
                "default-blueprint",
                "sample-druid",
                json!({"name": "other"}),
                "/default-blueprint",
            ),
            vec!["spec.sessions[0].repositories[0].name"],
        ),
        (
            repository(
                "demo",
                "default-blueprint",
                "sample-druid",
                storage.clone(),
                "/elsewhere",
            ),
            vec!["spec.sessions[0].repositories[0].directory"],
        ),
        // Another namespace, the same directory of the same storage, however it is written.
        (
            repository(
                "other",
                "default-blueprint",
                "sample-druid",
                storage.clone(),
                "default-blueprint/",
            ),
            vec!["spec.sessions[0].repositories[0].directory"],
        ),
        // There, a reference without a namespace means another storage.
        (
            repository(
                "other",
                "default-blueprint",
                "sample-druid",
                json!({"name": "gcs-storage"}),
                "/default-blueprint",
            ),
            vec![],
        ),
    ];
    for (index, (others, expected)) in cases.into_iter().enumerate() {
        let violations = backup_configuration(&configuration(&[]), &others);
        assert_eq!(
            fields(&violations),
            expected,
            "case {index}: {violations:?}"
        );
    }
}

#[test]
fn a_directory_belongs_to_one_repository_of_the_configuration_but_to_each_storage_its_own() {
    let clash = configuration(&[(
        "/spec/sessions",
        json!([session("a", "one", "d"), session("b", "two", "/d/")]),
    )]);
    let violations = backup_configuration(&clash, &Others::default());
    assert_eq!(
        fields(&violations),
        ["spec.sessions[1].repositories[0].directory"]
    );
    assert!(
        violations[0].message.contains("\"one\""),
        "{}",
        violations[0]
    );

    // Several sessions may share a Repository.
    let shared = configuration(&[(
        "/spec/sessions",
        json!([session("a", "one", "d"), session("b", "one", "d")]),
    )]);
    assert_eq!(backup_configuration(&shared, &Others::default()), []);

    // The same directory in two storages is two places.
    let mut both = session("a", "one", "d");
    both["repositories"] = json!([
        {"name": "one", "backend": "gcs-backend", "directory": "d"},
        {"name": "two", "backend": "other", "directory": "d"},
    ]);
    let policy = json!({"name": "p"});
    let two = configuration(&[
        (
            "/spec/backends",
            json!([
                {"name": "gcs-backend", "storageRef": {"name": "one"}, "retentionPolicy": policy},
                {"name": "other", "storageRef": {"name": "two"}, "retentionPolicy": policy},
            ]),
        ),
        ("/spec/sessions", json!([both])),
    ]);
    assert_eq!(backup_configuration(&two, &Others::default()), []);
}

#[test]
fn what_is_named_must_allow_the_namespace_or_not_exist() {
    let storage = |from: &str| -> Others {
        let storage = json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "gcs-storage", "namespace": "vault"},
            "spec": {"usagePolicy": {"allowedNamespaces": {
                "from": from, "selector": {"matchLabels": {"team": "data"}}}}},
        });
        Others {
            storages: vec![from_value(storage)],
            ..Others::default()
        }
    };
    fn from_value<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
        from(value)
    }
    let reference = [(
        "/spec/backends/0/storageRef",
        json!({"name": "gcs-storage", "namespace": "vault"}),
    )];
    let object = configuration(&reference);
    assert_eq!(backup_configuration(&object, &storage("All")), []);
    assert_eq!(
        fields(&backup_configuration(&object, &storage("Same"))),
        ["spec.backends[0].storageRef"]
    );
    assert_eq!(
        fields(&backup_configuration(&object, &storage("Selector"))),
        ["spec.backends[0].storageRef"]
    );
    let labelled = Others {
        namespace_labels: [("team".to_owned(), "data".to_owned())].into(),
        ..storage("Selector")
    };
    assert_eq!(backup_configuration(&object, &labelled), []);
    assert_eq!(backup_configuration(&object, &Others::default()), []);

    let policy = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": "p", "namespace": "vault"}, "spec": {},
    });
    let others = Others {
        policies: vec![from(policy)],
        ..Others::default()
    };
    let object = configuration(&[(
        "/spec/backends/0/retentionPolicy",
        json!({"name": "p", "namespace": "vault"}),
    )]);
    assert_eq!(
        fields(&backup_configuration(&object, &others)),
        ["spec.backends[0].retentionPolicy"]
    );
}

#[test]
fn a_hook_template_without_a_namespace_is_looked_for_beside_the_configuration() {
    let template = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate",
        "metadata": {"name": "h", "namespace": "demo"},
        "spec": {"usagePolicy": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}},
    });
    let others = Others {
        hook_templates: vec![from(template)],
        ..Others::default()
    };
    let mut with_hook = session("a", "r", "d");
    with_hook["hooks"] = json!({"preBackup": [{"name": "x", "hookTemplate": {"name": "h"}}]});
    let object = configuration(&[("/spec/sessions", json!([with_hook]))]);
    let violations = backup_configuration(&object, &others);
    assert_eq!(
        fields(&violations),
        ["spec.sessions[0].hooks.preBackup[0].hookTemplate"]
    );
}

fn with_repositories(repositories: &[(&str, &str)]) -> BackupConfiguration {
    let sessions: Vec<_> = repositories
        .iter()
        .enumerate()
        .map(|(at, (name, directory))| session(&format!("s-{at}"), name, directory))
        .collect();
    configuration(&[("/spec/sessions", json!(sessions))])
}

#[test]
fn a_new_directory_neither_contains_another_one_nor_lies_in_it() {
    let storage = json!({"name": "gcs-storage", "namespace": "demo"});
    let druid = |path: &str| repository("demo", "druid", "sample-druid", storage.clone(), path);
    let field = |at: usize| format!("spec.sessions[{at}].repositories[0].directory");
    type Case<'a> = (&'a [(&'a str, &'a str)], Others, Vec<(usize, &'a str)>);
    let cases: [Case; 9] = [
        // The tutorial's two, in one storage.
        (
            &[
                ("default-blueprint", "/default-blueprint"),
                ("customize-blueprint", "demo/sample-druid-2"),
            ],
            Others::default(),
            vec![],
        ),
        (
            &[("outer", "demo")],
            druid("demo/sample-druid-2"),
            vec![(0, "demo/druid")],
        ),
        (
            &[("inner", "/cfg/repository/v1")],
            druid("/cfg"),
            vec![(0, "demo/druid")],
        ),
        (
            &[("apart", "demo/sample-druid")],
            druid("demo/sample-druid-2"),
            vec![],
        ),
        (
            &[("root", "/")],
            druid("demo"),
            vec![(0, "root of the storage"), (0, "demo/druid")],
        ),
        (
            &[("a", "demo"), ("b", "demo/b")],
            Others::default(),
            vec![(1, "\"a\" of this object")],
        ),
        // The same repository in two sessions.
        (&[("a", "demo"), ("a", "demo")], Others::default(), vec![]),
        // Those that are there already go on.
        (&[("druid", "/")], druid("/"), vec![]),
        (&[("druid", "a/../b")], druid("a/../b"), vec![]),
    ];
    for (repositories, others, expected) in cases {
        let violations = backup_configuration(&with_repositories(repositories), &others);
        assert_eq!(
            violations.len(),
            expected.len(),
            "{repositories:?}: {violations:?}"
        );
        for (violation, (at, word)) in violations.iter().zip(expected) {
            assert_eq!(violation.field, field(at));
            assert!(
                violation.message.contains(word),
                "{repositories:?}: {violation}"
            );
        }
    }
}

#[test]
fn another_storage_may_have_the_directory_inside_another_one() {
    let storage = json!({"name": "other-storage", "namespace": "demo"});
    let others = repository(
        "demo",
        "druid",
        "sample-druid",
        storage,
        "demo/sample-druid-2",
    );
    assert_eq!(
        backup_configuration(&with_repositories(&[("outer", "demo")]), &others),
        []
    );
}
