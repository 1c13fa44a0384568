//! What the executor of a session may do: read the objects it works on, report on its own, and
//! remove the Snapshots that the retention policy lets go. Pure.

use kube::ResourceExt;

use super::world::{World, snapshot_name};
use crate::jobs::{Access, manifest};

const READ: &[&str] = &["get"];
const REPORT: &[&str] = &["get", "patch"];
const REMOVE: &[&str] = &["get", "patch", "delete"];
const LIST: &[&str] = &["list"];

const CORE: &str = "core.kubestash.com";
const STORAGE: &str = "storage.kubestash.com";

/// The rights of the executor of `world`'s session.
pub(super) fn of(world: &World) -> Access {
    let mut access = Access::default();
    let namespace = world.namespace();
    let session = world.session.name_any();
    access.one(&namespace, CORE, "backupsessions", READ, &session);
    access.one(&namespace, CORE, "backupsessions/status", REPORT, &session);
    if let Some(configuration) = &world.configuration {
        access.one(
            &namespace,
            CORE,
            "backupconfigurations",
            READ,
            &configuration.name_any(),
        );
    }
    // The Snapshots of the Repositories have to be known before some can be found stale, and a name
    // cannot limit that.
    access.any(&namespace, STORAGE, "snapshots", LIST);
    // Whether a restore whose lock is in the way is over, its session says; which one that will be,
    // nobody knows.
    access.any(&namespace, CORE, "restoresessions", LIST);
    for (name, session) in &world.old_snapshots {
        access.one(&namespace, STORAGE, "snapshots", REMOVE, name);
        // Before its data goes, it no longer says Succeeded.
        access.one(&namespace, STORAGE, "snapshots/status", REPORT, name);
        access.one(&namespace, CORE, "backupsessions", READ, session);
    }
    for info in world.targets() {
        let own = snapshot_name(&world.session, &info.name);
        access.one(&namespace, STORAGE, "snapshots", REMOVE, &own);
        access.one(&namespace, STORAGE, "snapshots/status", REPORT, &own);
        access.one(&namespace, STORAGE, "repositories", READ, &info.name);
        repository(&mut access, world, &info.name);
    }
    backends(&mut access, world);
    world.source.allow(&mut access);
    manifest::allow_backup(&mut access, &world.manifests);
    access
}

fn repository(access: &mut Access, world: &World, name: &str) {
    let namespace = world.namespace();
    if let Some(secret) = world
        .repositories
        .get(name)
        .and_then(|found| found.spec.encryption_secret.as_ref())
    {
        access.one(
            secret.namespace_or(&namespace),
            "",
            "secrets",
            READ,
            &secret.name,
        );
    }
    if let Some(storage) = world.storages.get(name) {
        let owner = storage.namespace().unwrap_or_default();
        access.one(&owner, STORAGE, "backupstorages", READ, &storage.name_any());
        let secret = storage
            .spec
            .storage
            .as_ref()
            .and_then(|backend| backend.secret_name());
        access.one(&owner, "", "secrets", READ, secret.unwrap_or_default());
    }
}

fn backends(access: &mut Access, world: &World) {
    let namespace = world.namespace();
    let Some(configuration) = &world.configuration else {
        return;
    };
    for info in world.targets() {
        let policy = configuration
            .spec
            .backend(&info.backend)
            .and_then(|backend| backend.retention_policy.as_ref());
        if let Some(policy) = policy {
            access.one(
                policy.namespace_or(&namespace),
                STORAGE,
                "retentionpolicies",
                READ,
                &policy.name,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource;
    use kubestash_api::appcatalog::AppBinding;
    use kubestash_api::core::{BackupConfiguration, BackupSession};
    use kubestash_api::kubedb::Druid;
    use kubestash_api::storage::{BackupStorage, Repository, RetentionPolicy, Snapshot};
    use kubestash_domain::target::{APPCATALOG, KUBEDB};

    use super::*;

    #[test]
    fn the_words_are_those_of_the_kinds() {
        let is = |group: &str, plural: &str, expected: (&str, &str)| {
            assert_eq!((group, plural), expected)
        };
        is(
            &BackupSession::group(&()),
            &BackupSession::plural(&()),
            (CORE, "backupsessions"),
        );
        is(
            &BackupConfiguration::group(&()),
            &BackupConfiguration::plural(&()),
            (CORE, "backupconfigurations"),
        );
        is(
            &Snapshot::group(&()),
            &Snapshot::plural(&()),
            (STORAGE, "snapshots"),
        );
        is(
            &Repository::group(&()),
            &Repository::plural(&()),
            (STORAGE, "repositories"),
        );
        is(
            &BackupStorage::group(&()),
            &BackupStorage::plural(&()),
            (STORAGE, "backupstorages"),
        );
        is(
            &RetentionPolicy::group(&()),
            &RetentionPolicy::plural(&()),
            (STORAGE, "retentionpolicies"),
        );
        is(
            &AppBinding::group(&()),
            &AppBinding::plural(&()),
            (APPCATALOG, "appbindings"),
        );
        is(&Druid::group(&()), &Druid::plural(&()), (KUBEDB, "druids"));
    }
}
