//! Everything a restore reads from the API server, before it does anything.

use kube::ResourceExt;
use kubestash_api::core::RestoreSession;
use kubestash_api::shared::{ObjectReference, TypedObjectReference};
use kubestash_api::storage::{Repository, Snapshot};
use kubestash_domain::lock_holder::LockHolder;
use kubestash_domain::{layout, manifest};

use super::awaited;
use crate::arguments::Restore;
use crate::backup::uid_tag;
use crate::cluster::Cluster;
use crate::database::{self, Database, Wanted};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::store::Store;

/// What a restore works on.
pub(super) struct World {
    /// Where the data is.
    pub(super) store: Store,
    /// What is restored.
    pub(super) part: Part,
    /// Where it goes.
    pub(super) database: Database,
    /// The database object, if this session has made it, so that it waits for its data.
    pub(super) made: Option<TypedObjectReference>,
    /// What was not backed up, as the Snapshot says it.
    pub(super) left_out: Vec<String>,
}

/// A component of a Snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Path of its restic repository, below the Repository's directory.
    pub(crate) path: String,
    /// Id of the restic snapshot.
    pub(crate) id: String,
    /// The tag that we gave the restic snapshot, by which it is found if others have given it
    /// another id.
    pub(crate) tag: Option<String>,
    /// The file in it.
    pub(crate) file: String,
}

/// Reads everything.
///
/// # Errors
/// If an object is missing or says too little.
pub(super) async fn dereference(
    cluster: &Cluster,
    settings: &Settings,
    restore: &Restore,
    session: &RestoreSession,
) -> Result<World, Failure> {
    let own = session.namespace().unwrap_or_default();
    let named_by = format!("RestoreSession {own}/{}", session.name_any());
    let (store, part, snapshot) = stored(
        cluster,
        settings,
        &restore.snapshot,
        restore.component,
        session,
    )
    .await?;
    let target = target(session, &snapshot);
    let left_out = left_out(&snapshot, restore.component);
    let wanted = Wanted {
        family: restore.family,
        user: &restore.user,
    };
    if awaited::is_made_by(session) {
        let database = awaited::database(cluster, session, &target, wanted).await?;
        return Ok(World {
            store,
            part,
            database,
            made: Some(target),
            left_out,
        });
    }
    let named_by = format!("spec.target of {named_by}");
    let database = database::find(cluster, Some(&target), &own, &named_by, wanted).await?;
    Ok(World {
        store,
        part,
        database,
        made: None,
        left_out,
    })
}

/// What a component does not hold, as its Snapshot says it.
fn left_out(snapshot: &Snapshot, component: &str) -> Vec<String> {
    let status = snapshot.status.as_ref();
    let component = status.and_then(|status| status.components.get(component));
    component.map_or_else(Vec::new, |component| component.left_out.clone())
}

/// Where data goes: into the target that the session names, else into what its manifests make of
/// the one that was backed up.
fn target(session: &RestoreSession, snapshot: &Snapshot) -> TypedObjectReference {
    let own = session.namespace().unwrap_or_default();
    let options = session.spec.manifest_options.as_deref();
    session.spec.target.clone().unwrap_or_else(|| {
        let app_ref = snapshot.spec.app_ref.clone().unwrap_or_default();
        manifest::effective_target(&app_ref, &own, options.unwrap_or(&Default::default()))
    })
}

/// Reads everything that leads to a component of a Snapshot.
///
/// # Errors
/// If an object is missing or says too little.
pub(crate) async fn stored(
    cluster: &Cluster,
    settings: &Settings,
    snapshot: &str,
    component: &str,
    session: &RestoreSession,
) -> Result<(Store, Part, Snapshot), Failure> {
    let own = session.namespace().unwrap_or_default();
    let named_by = format!("RestoreSession {own}/{}", session.name_any());
    let source = session.spec.data_source.clone().unwrap_or_default();
    let namespace = source.namespace.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.unwrap_or_else(|| own.clone());
    let snapshot: Snapshot = cluster.get(&namespace, snapshot, &named_by).await?;
    let part = part(&snapshot, component)?;
    let named_by = format!(
        "spec.repository of Snapshot {namespace}/{}",
        snapshot.name_any()
    );
    let mut repository: Repository = cluster
        .get(&namespace, &snapshot.spec.repository, &named_by)
        .await?;
    if let Some(secret) = source.encryption_secret {
        repository.spec.encryption_secret = Some(ObjectReference::new(
            &secret.name,
            secret.namespace_or(&own),
        ));
    }
    let job = LockHolder::restore_job(&own, &session.name_any());
    let store = Box::pin(Store::of(cluster, settings, repository, &job)).await?;
    Ok((store, part, snapshot))
}

/// Where a component's data is, as its Snapshot says.
fn part(snapshot: &Snapshot, name: &str) -> Result<Part, Failure> {
    let object = format!(
        "Snapshot {}/{}",
        snapshot.namespace().unwrap_or_default(),
        snapshot.name_any()
    );
    let fail =
        |what: &str| Failure::permanent("SnapshotUnusable", format!("failed to restore: {what}"));
    let components = snapshot.status.as_ref().map(|status| &status.components);
    let component = components
        .and_then(|components| components.get(name))
        .ok_or_else(|| {
            fail(&format!(
                "{object} has no component {name:?}; restore another one"
            ))
        })?;
    let stats = component.restic_stats.first();
    let id = stats
        .and_then(|stats| stats.id())
        .filter(|id| !id.is_empty())
        .ok_or_else(|| {
            fail(&format!(
                "component {name:?} of {object} names no restic snapshot (status.components.{name}.resticStats[0].id); restore another one"
            ))
        })?;
    let path = component.path.as_deref().filter(|path| !path.is_empty());
    let file = stats
        .and_then(|stats| stats.host_path())
        .map(|file| file.trim_start_matches('/'))
        .filter(|file| !file.is_empty());
    Ok(Part {
        path: path.map_or_else(
            || {
                let spec = &snapshot.spec;
                crate::arguments::component_path(&spec.version, &spec.session, name)
            },
            str::to_owned,
        ),
        id: id.to_owned(),
        tag: snapshot.uid().map(|uid| uid_tag(&uid)),
        file: file.unwrap_or(layout::DUMP_FILE).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(component: Value) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s", "namespace": "demo"}, "spec": {"session": "frequent", "version": "v1"},
            "status": {"components": {"dump": component}},
        }))
        .unwrap()
    }

    #[test]
    fn both_ways_to_write_a_components_statistics_are_read() {
        let flat = json!({"path": "repository/v1/frequent/dump", "resticStats": [{"hostPath": "dumpfile.sql", "id": "8f2b"}]});
        let summary =
            json!({"resticStats": [{"summary": {"hostPath": "/dumpfile.sql", "id": "8f2b"}}]});
        let bare = json!({"resticStats": [{"id": "8f2b"}]});
        for component in [flat, summary, bare] {
            let expected = Part {
                path: "repository/v1/frequent/dump".to_owned(),
                id: "8f2b".to_owned(),
                tag: None,
                file: "dumpfile.sql".to_owned(),
            };
            assert_eq!(part(&snapshot(component), "dump").unwrap(), expected);
        }
    }

    #[test]
    fn a_component_without_data_is_told_by_name() {
        let empty = snapshot(json!({"phase": "Succeeded"}));
        for (component, words) in [
            ("dump", "names no restic snapshot"),
            ("x", "no component \"x\""),
        ] {
            let failure = part(&empty, component).unwrap_err();
            assert!(
                failure.permanent && failure.message.contains(words),
                "{failure}"
            );
            assert!(failure.message.contains("demo/s"), "{failure}");
        }
    }
}
