//! What the validation rules in the CRDs accept and refuse, and whether a refusal says what to do.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kube_cel::Validator;
use serde_json::{Value, json};

/// The schema of each kind of ours. Making them takes a while.
static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let schema = |crd| Value::Object(crate::schema::root(crd));
    kubestash_api::crds()
        .iter()
        .map(|crd| (crd.spec.names.kind.clone(), schema(crd)))
        .collect()
});

/// The messages of the rules that refuse an object, as it is created or as it replaces another.
fn refusals(kind: &str, spec: Value, old: Option<Value>) -> Vec<String> {
    let object = |spec| json!({ "metadata": { "name": "o", "namespace": "n" }, "spec": spec });
    let old = old.map(object);
    match Validator::new().validate(&SCHEMAS[kind], &object(spec), old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| error.message)
            .collect(),
    }
}

#[track_caller]
fn accepted(kind: &str, spec: Value) {
    assert_eq!(refusals(kind, spec, None), Vec::<String>::new());
}

#[track_caller]
fn refused(kind: &str, spec: Value, about: &str) {
    let messages = refusals(kind, spec, None);
    assert!(
        messages.len() == 1 && messages[0].contains(about),
        "expected one about {about:?}, got {messages:?}"
    );
}

fn session() -> Value {
    json!({
        "name": "frequent-backup",
        "scheduler": { "schedule": "*/5 * * * *", "jobTemplate": { "backoffLimit": 1 } },
        "repositories": [{ "name": "r", "backend": "gcs-backend", "directory": "/d" }],
        "addon": { "name": "druid-addon", "tasks": [{ "name": "mysql-metadata-storage-backup" }] }
    })
}

/// A session with one thing changed: the value at a pointer replaced, or removed.
fn session_with(pointer: &str, value: Option<Value>) -> Value {
    let mut session = session();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = session
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    json!({ "sessions": [session] })
}

#[test]
fn a_backup_configuration_needs_complete_sessions() {
    accepted("BackupConfiguration", json!({ "sessions": [session()] }));
    refused("BackupConfiguration", json!({}), "spec.sessions");
    refused(
        "BackupConfiguration",
        json!({ "sessions": [] }),
        "spec.sessions",
    );
    for (pointer, value, about) in [
        ("/name", None, "sessions[].name"),
        ("/name", Some(json!("")), "sessions[].name"),
        ("/scheduler", None, "sessions[].scheduler"),
        ("/scheduler/schedule", Some(json!("")), "scheduler.schedule"),
        ("/addon", None, "sessions[].addon"),
        ("/addon/name", None, "addon.name"),
        ("/addon/tasks", Some(json!([])), "addon.tasks"),
        ("/addon/tasks/0/name", Some(json!("")), "addon.tasks[].name"),
        ("/repositories", Some(json!([])), "sessions[].repositories"),
        (
            "/repositories/0/directory",
            None,
            "repositories[].directory",
        ),
    ] {
        refused("BackupConfiguration", session_with(pointer, value), about);
    }
}

#[test]
fn a_blueprint_needs_a_template() {
    accepted(
        "BackupBlueprint",
        json!({ "backupConfigurationTemplate": { "sessions": [session()] } }),
    );
    refused(
        "BackupBlueprint",
        json!({}),
        "spec.backupConfigurationTemplate",
    );
}

#[test]
fn a_selector_policy_needs_a_selector() {
    let policy = |allowed: Value| json!({ "maxRetentionPeriod": "2mo", "usagePolicy": { "allowedNamespaces": allowed } });
    accepted("RetentionPolicy", policy(json!({ "from": "All" })));
    accepted(
        "RetentionPolicy",
        policy(json!({ "from": "Selector", "selector": {} })),
    );
    refused(
        "RetentionPolicy",
        policy(json!({ "from": "Selector" })),
        "allowedNamespaces.selector",
    );
}

#[test]
fn a_retention_policy_needs_a_period_or_counts() {
    accepted(
        "RetentionPolicy",
        json!({ "successfulSnapshots": { "last": 5 }, "failedSnapshots": { "last": 2 } }),
    );
    refused(
        "RetentionPolicy",
        json!({ "failedSnapshots": { "last": 2 } }),
        "maxRetentionPeriod",
    );
    refused(
        "RetentionPolicy",
        json!({ "maxRetentionPeriod": "" }),
        "maxRetentionPeriod",
    );
}

#[test]
fn a_storage_needs_the_part_of_its_provider() {
    accepted(
        "BackupStorage",
        json!({ "storage": { "provider": "gcs", "gcs": { "bucket": "b" } } }),
    );
    accepted(
        "BackupStorage",
        json!({ "storage": { "provider": "local", "local": { "mountPath": "/m", "hostPath": { "path": "/d" } } } }),
    );
    refused(
        "BackupStorage",
        json!({ "storage": { "provider": "gcs", "s3": { "bucket": "b" } } }),
        "no part for its provider",
    );
    refused(
        "BackupStorage",
        json!({ "storage": { "provider": "ftp" } }),
        "storage.provider",
    );
    refused(
        "BackupStorage",
        json!({ "storage": { "gcs": { "bucket": "b" } } }),
        "storage.provider",
    );
}

#[test]
fn what_describes_one_run_or_one_place_cannot_change() {
    for kind in ["BackupSession", "BackupVerificationSession"] {
        let spec = json!({ "session": "s", "retryLeft": 2 });
        assert!(refusals(kind, spec.clone(), Some(spec.clone())).is_empty());
        let messages = refusals(kind, json!({ "session": "s", "retryLeft": 1 }), Some(spec));
        assert!(
            messages.len() == 1 && messages[0].contains("cannot change"),
            "{messages:?}"
        );
    }
    let repository = |path: &str| json!({ "path": path, "deletionPolicy": "Delete" });
    assert!(refusals("Repository", repository("/a"), Some(repository("/a"))).is_empty());
    assert!(
        refusals(
            "Repository",
            json!({ "path": "/a", "paused": true }),
            Some(repository("/a"))
        )
        .is_empty()
    );
    for changed in [repository("/b"), json!({})] {
        let messages = refusals("Repository", changed, Some(repository("/a")));
        assert!(
            messages.len() == 1 && messages[0].contains("spec.path"),
            "{messages:?}"
        );
    }
}

#[test]
fn a_restore_needs_to_say_what_it_restores() {
    let source = |source: Value| json!({ "dataSource": source });
    accepted(
        "RestoreSession",
        source(json!({ "snapshot": "latest", "repository": "r" })),
    );
    accepted(
        "RestoreSession",
        source(json!({ "snapshot": "some-snapshot" })),
    );
    accepted(
        "RestoreSession",
        source(json!({ "repository": "r", "pitr": { "targetTime": "2026-01-31T12:00:00Z" } })),
    );
    refused("RestoreSession", json!({}), "spec.dataSource");
    refused(
        "RestoreSession",
        source(json!({ "repository": "r" })),
        "dataSource.snapshot",
    );
    refused(
        "RestoreSession",
        source(json!({ "snapshot": "latest" })),
        "dataSource.repository",
    );
    refused(
        "RestoreSession",
        source(json!({ "repository": "r", "pitr": {} })),
        "targetTime",
    );
    refused(
        "RestoreSession",
        source(json!({ "pitr": { "targetTime": "2026-01-31T12:00:00Z" } })),
        "dataSource.repository",
    );
}

#[test]
fn a_hook_needs_an_executor_and_what_the_executor_needs() {
    let exec = json!({ "exec": { "command": ["true"] } });
    let pod = |selector: &str| json!({ "action": exec, "executor": { "type": "Pod", "pod": { "selector": selector } } });
    accepted("HookTemplate", pod("app=a, tier=db"));
    accepted(
        "HookTemplate",
        json!({ "action": exec, "executor": { "type": "Operator" } }),
    );
    accepted(
        "HookTemplate",
        json!({ "executor": { "type": "Function", "function": { "name": "f" } } }),
    );
    refused("HookTemplate", json!({ "action": exec }), "spec.executor");
    refused(
        "HookTemplate",
        json!({ "executor": { "type": "Operator" } }),
        "spec.action",
    );
    refused(
        "HookTemplate",
        json!({ "executor": { "type": "Function" } }),
        "executor.function",
    );
    refused(
        "HookTemplate",
        json!({ "action": exec, "executor": { "type": "Pod" } }),
        "executor.pod",
    );
    for selector in ["", "app", "app=a,", "app=a,tier"] {
        refused("HookTemplate", pod(selector), "pod.selector");
    }
}

#[test]
fn a_verifier_needs_what_its_type_needs() {
    let with = |extra: Value| {
        let mut spec = json!({ "restoreOption": { "addonInfo": { "name": "a", "tasks": [{ "name": "t" }] } } });
        spec.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        spec
    };
    accepted("BackupVerifier", with(json!({ "type": "RestoreOnly" })));
    accepted(
        "BackupVerifier",
        with(json!({ "type": "Query", "query": { "mySQL": [] }, "function": "f" })),
    );
    accepted(
        "BackupVerifier",
        with(json!({ "type": "Script", "script": { "location": "/s" }, "function": "f" })),
    );
    refused("BackupVerifier", with(json!({})), "spec.type");
    refused(
        "BackupVerifier",
        json!({ "type": "RestoreOnly" }),
        "addonInfo",
    );
    refused(
        "BackupVerifier",
        with(json!({ "type": "Query", "query": { "mySQL": [] } })),
        "spec.function",
    );
    refused(
        "BackupVerifier",
        with(json!({ "type": "Script", "function": "f" })),
        "script.location",
    );
}
