//! What the executor of a restore may do: read the objects it works on, and report on its own.
//! Pure.

use kube::ResourceExt;

use super::data::Data;
use super::world::{World, data_namespace, data_source};
use crate::consent::references::asks_to_replace;
use crate::jobs::manifest::{self, Reach, Restoring};
use crate::jobs::{Access, Task};

const READ: &[&str] = &["get"];
const REPORT: &[&str] = &["get", "patch"];
const LIST: &[&str] = &["list"];

const CORE: &str = "core.kubestash.com";
const STORAGE: &str = "storage.kubestash.com";

/// The rights of the executor that restores what `restored` says by these tasks.
pub(super) fn of(world: &World, restored: &Data, tasks: &[Task]) -> Access {
    let mut access = Access::default();
    let snapshot = &restored.snapshot;
    let (own, data) = (world.namespace(), data_namespace(&world.session));
    let session = world.session.name_any();
    access.one(&own, CORE, "restoresessions", READ, &session);
    access.one(&own, CORE, "restoresessions/status", REPORT, &session);
    access.one(&data, STORAGE, "snapshots", READ, &snapshot.name_any());
    // Whether the holder of a lock is gone, its Snapshot says; whose that is, nobody knows
    // beforehand.
    access.any(&data, STORAGE, "snapshots", LIST);
    // Or its session, as far as that is one of this namespace.
    access.any(&own, CORE, "restoresessions", LIST);
    if data == own {
        access.any(&own, CORE, "backupsessions", LIST);
    }
    let repository = &snapshot.spec.repository;
    access.one(&data, STORAGE, "repositories", READ, repository);
    let of_session = data_source(&world.session).encryption_secret;
    let secret = match &of_session {
        Some(secret) => Some((secret, &own)),
        None => {
            let found = world.repository.as_ref();
            found
                .and_then(|found| found.spec.encryption_secret.as_ref())
                .map(|secret| (secret, &data))
        }
    };
    if let Some((secret, referrer)) = secret {
        access.one(
            secret.namespace_or(referrer),
            "",
            "secrets",
            READ,
            &secret.name,
        );
    }
    if let Some(storage) = &world.storage {
        let owner = storage.namespace().unwrap_or_default();
        access.one(&owner, STORAGE, "backupstorages", READ, &storage.name_any());
        let backend = storage.spec.storage.as_ref();
        let secret = backend.and_then(|backend| backend.secret_name());
        access.one(&owner, "", "secrets", READ, secret.unwrap_or_default());
    }
    world.source.allow(&mut access);
    if restored.makes_target() {
        let restoring = Restoring {
            data_follows: restored.has_data(),
            replaces: tasks
                .iter()
                .filter(|task| manifest::is_for_manifests(&task.function))
                .any(|task| manifest::replaces(&task.args)),
        };
        let reach = Reach {
            own: &own,
            replaces_elsewhere: asks_to_replace(&world.session),
        };
        manifest::allow_restore(&mut access, &world.placements, restoring, reach);
    }
    access
}

#[cfg(test)]
mod tests {
    use kube::Resource;
    use kubestash_api::core::RestoreSession;

    use super::*;

    #[test]
    fn the_words_are_those_of_the_kinds() {
        assert_eq!(RestoreSession::group(&()), CORE);
        assert_eq!(RestoreSession::plural(&()), "restoresessions");
    }
}
