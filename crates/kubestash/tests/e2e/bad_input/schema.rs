//! Unknown and mistyped fields, in each kind.

use crate::support::System;

/// A small valid object of each kind, and a field of it with a value of the wrong type.
const KINDS: [(&str, &str, &str); 14] = [
    (
        "storage.kubestash.com/v1alpha1",
        "BackupStorage",
        "{storage: {provider: gcs, gcs: {bucket: 7}}}",
    ),
    (
        "storage.kubestash.com/v1alpha1",
        "RetentionPolicy",
        "{maxRetentionPeriod: 2mo, successfulSnapshots: {last: many}}",
    ),
    (
        "storage.kubestash.com/v1alpha1",
        "Repository",
        "{path: [a]}",
    ),
    (
        "storage.kubestash.com/v1alpha1",
        "Snapshot",
        "{paused: maybe}",
    ),
    (
        "core.kubestash.com/v1alpha1",
        "BackupConfiguration",
        "{sessions: {}}",
    ),
    (
        "core.kubestash.com/v1alpha1",
        "BackupSession",
        "{retryLeft: some}",
    ),
    ("core.kubestash.com/v1alpha1", "BackupBatch", "{paused: 1}"),
    (
        "core.kubestash.com/v1alpha1",
        "BackupBlueprint",
        "{backupConfigurationTemplate: []}",
    ),
    (
        "core.kubestash.com/v1alpha1",
        "RestoreSession",
        "{dataSource: {snapshot: 5}}",
    ),
    (
        "core.kubestash.com/v1alpha1",
        "HookTemplate",
        "{executor: Pod}",
    ),
    (
        "core.kubestash.com/v1alpha1",
        "BackupVerifier",
        "{type: Sometimes}",
    ),
    (
        "core.kubestash.com/v1alpha1",
        "BackupVerificationSession",
        "{retryLeft: x}",
    ),
    (
        "addons.kubestash.com/v1alpha1",
        "Addon",
        "{backupTasks: none}",
    ),
    ("addons.kubestash.com/v1alpha1", "Function", "{args: one}"),
];

#[test]
fn each_kind_refuses_unknown_and_mistyped_fields_by_name() {
    let system = System::start();
    system.kubectl("create ns demo");
    for (api_version, kind, mistyped) in KINDS {
        let object = |spec: &str| {
            format!(
                "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: bad, namespace: demo}}\nspec: {spec}\n"
            )
        };
        let object = |spec: &str| {
            let yaml = object(spec);
            if api_version.starts_with("addons") {
                yaml.replace(", namespace: demo", "")
            } else {
                yaml
            }
        };
        let error = system.try_apply(&object("{noSuchField: 1}")).unwrap_err();
        assert!(error.contains("noSuchField"), "{kind}: {error}");
        let error = system.try_apply(&object(mistyped)).unwrap_err();
        assert!(error.contains("spec"), "{kind}: {error}");
    }
}
