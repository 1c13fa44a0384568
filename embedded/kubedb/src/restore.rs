//! Restores into a database, as far as its phase depends on them.
//!
//! A database with `init.waitForInitialRestore` is not provisioned before a restore into it has
//! succeeded. A restore into a database that is ready shows too, and if it fails the database is
//! NotReady until a later one succeeds.

use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::core::{RestorePhase, RestoreSession};
use kubestash_api::kubedb::{DatabaseInit, DatabaseStatus, GROUP};

use crate::KubedbError;
use crate::status::{self, Change, Fact};

/// How the latest restore into a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// There is none.
    Absent,
    /// There are only ones that are Invalid: they never begin.
    Refused,
    /// It has not ended yet.
    Unfinished,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
}

/// The database of a kind that a RestoreSession restores into, if it says so. Without a target it
/// is what the manifest options make.
pub(crate) fn target<K: Resource<DynamicType = ()>>(
    session: &RestoreSession,
) -> Option<ObjectRef<K>> {
    let own = session.namespace();
    if let Some(target) = &session.spec.target {
        let fits = target.kind() == K::kind(&()) && target.group() == GROUP;
        let namespace = target.namespace.clone().or(own)?;
        return fits.then(|| ObjectRef::new(&target.name).within(&namespace));
    }
    let options = session.spec.manifest_options.as_ref()?;
    let kind = K::kind(&());
    let (name, namespace) = if kind == "Druid" {
        let druid = options.druid.as_ref()?;
        (druid.db_name.clone()?, druid.restore_namespace.clone())
    } else {
        let database = match kind.as_ref() {
            "MySQL" => options.my_sql.as_ref(),
            "MariaDB" => options.maria_db.as_ref(),
            "Postgres" => options.postgres.as_ref(),
            _ => None,
        }?;
        (
            database.db_name.clone()?,
            database.restore_namespace.clone(),
        )
    };
    Some(ObjectRef::new(&name).within(&namespace.or(own)?))
}

/// How the latest restore into `database` is.
pub(crate) async fn latest<K>(database: &K, client: &kube::Client) -> Result<Restore, KubedbError>
where
    K: Resource<DynamicType = ()>,
{
    let api: Api<RestoreSession> = Api::all(client.clone());
    let sessions = api
        .list(&ListParams::default())
        .await
        .map_err(KubedbError::api("list RestoreSessions"))?;
    let wanted =
        ObjectRef::<K>::new(&database.name_any()).within(&database.namespace().unwrap_or_default());
    Ok(newest(sessions.items.iter().filter(|session| {
        target::<K>(session).as_ref() == Some(&wanted)
    })))
}

fn newest<'a>(sessions: impl Iterator<Item = &'a RestoreSession>) -> Restore {
    let time = |session: &&RestoreSession| session.creation_timestamp().map(|time| time.0);
    let phase = |session: &RestoreSession| session.status.as_ref().and_then(|status| status.phase);
    let (refused, sessions): (Vec<_>, Vec<_>) =
        sessions.partition(|session| phase(session) == Some(RestorePhase::Invalid));
    let Some(session) = sessions.into_iter().max_by_key(time) else {
        return match refused.is_empty() {
            true => Restore::Absent,
            false => Restore::Refused,
        };
    };
    match phase(session) {
        Some(RestorePhase::Succeeded) => Restore::Succeeded,
        Some(RestorePhase::Failed | RestorePhase::Unknown) => Restore::Failed,
        _ => Restore::Unfinished,
    }
}

/// What a restore means for the conditions.
pub(crate) fn changes(restore: Restore, before: Option<&DatabaseStatus>) -> Vec<Change> {
    let (started, restored) = (status::DATA_RESTORE_STARTED, status::DATA_RESTORED);
    let ended = |holds, reason, message: &str| {
        let fact = Fact::new(restored, holds, reason, message);
        vec![Change::Without(started), Change::With(fact)]
    };
    match restore {
        Restore::Absent if status::holds(before, started) => {
            let text = "The RestoreSession was deleted before it had ended; create another one.";
            ended(false, "DataRestoreInterrupted", text)
        }
        Restore::Absent => Vec::new(),
        Restore::Refused => vec![Change::Without(started)],
        Restore::Unfinished => {
            let reason = "DataRestoreStartedByExternalInitializer";
            let fact = Fact::new(started, true, reason, "A RestoreSession restores data.");
            vec![Change::Without(restored), Change::With(fact)]
        }
        Restore::Succeeded => ended(
            true,
            "SuccessfullyDataRestored",
            "The latest RestoreSession succeeded.",
        ),
        Restore::Failed => ended(
            false,
            "FailedToRestoreData",
            "The latest RestoreSession failed; create another one, or delete it if the database is as it should be.",
        ),
    }
}

/// Whether a database still waits for its initial restore.
pub(crate) fn is_awaited(
    init: Option<&DatabaseInit>,
    restore: Restore,
    before: Option<&DatabaseStatus>,
) -> bool {
    init.is_some_and(|init| {
        init.wait_for_initial_restore == Some(true) && init.initialized != Some(true)
    }) && restore != Restore::Succeeded
        && !status::holds(before, status::PROVISIONED)
}

#[cfg(test)]
mod tests {
    use kubestash_api::kubedb::{Druid, MariaDB, MySQL, Postgres};
    use serde_json::{Value, json};

    use super::*;

    fn session(spec: Value, phase: &str, second: u8) -> RestoreSession {
        let time = format!("2024-09-19T10:00:{second:02}Z");
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "r", "namespace": "demo", "creationTimestamp": time},
            "spec": spec, "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn the_target_is_the_one_named_or_the_one_that_manifests_make() {
        let named = |kind: &str, namespace: Value| json!({"target": {"apiGroup": "kubedb.com", "kind": kind, "name": "x", "namespace": namespace}});
        for (spec, expected) in [
            (named("Druid", Value::Null), Some(("demo", "x"))),
            (named("Druid", json!("dev")), Some(("dev", "x"))),
            (named("MySQL", json!("dev")), None),
            (json!({}), None),
            (
                json!({"manifestOptions": {"druid": {"dbName": "new", "restoreNamespace": "dev"}}}),
                Some(("dev", "new")),
            ),
            (
                json!({"manifestOptions": {"druid": {"dbName": "new"}}}),
                Some(("demo", "new")),
            ),
        ] {
            let found = target::<Druid>(&session(spec.clone(), "Running", 0));
            let expected = expected.map(|(namespace, name)| ObjectRef::new(name).within(namespace));
            assert_eq!(found, expected, "{spec}");
        }
        assert!(target::<MySQL>(&session(named("MySQL", Value::Null), "Running", 0)).is_some());
        let made = |field: &str| {
            session(
                json!({"manifestOptions": {field: {"dbName": "new"}}}),
                "Running",
                0,
            )
        };
        assert!(target::<MySQL>(&made("mySQL")).is_some());
        assert!(target::<MariaDB>(&made("mariaDB")).is_some());
        assert!(target::<Postgres>(&made("postgres")).is_some());
        assert!(target::<Postgres>(&made("mySQL")).is_none());
    }

    #[test]
    fn the_newest_restore_counts() {
        let of = |phases: &[(&str, u8)]| {
            let all: Vec<_> = phases
                .iter()
                .map(|(phase, at)| session(json!({}), phase, *at))
                .collect();
            newest(all.iter())
        };
        assert_eq!(of(&[]), Restore::Absent);
        assert_eq!(of(&[("Pending", 1)]), Restore::Unfinished);
        assert_eq!(of(&[("Failed", 1), ("Succeeded", 2)]), Restore::Succeeded);
        assert_eq!(of(&[("Succeeded", 1), ("Failed", 2)]), Restore::Failed);
        assert_eq!(of(&[("Unknown", 1)]), Restore::Failed);
        assert_eq!(of(&[("Invalid", 1)]), Restore::Refused);
        assert_eq!(of(&[("Failed", 1), ("Invalid", 2)]), Restore::Failed);
        assert_eq!(of(&[("Invalid", 1), ("Running", 2)]), Restore::Unfinished);
    }
}
