//! Sessions made by hand: they belong to their configuration like any other, and go with it.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use kubestash_api::core::BackupSession;
use kubestash_api::labels;
use serde_json::{Value, json};

use super::world::World;
use crate::controllers::backupconfiguration::sessions;
use crate::runtime::apply::{ApplyError, Written, request};

/// Gives a session of a configuration the owner and the labels that the scheduler gives, where they
/// are missing. A session of another owner is left alone.
pub(super) async fn adopt(api: &Api<BackupSession>, world: &World) -> Result<Written, ApplyError> {
    let Some(patch) = missing(world) else {
        return Ok(Written::Unchanged);
    };
    let session = &world.session;
    api.patch(
        &session.name_any(),
        &PatchParams::default(),
        &Patch::Merge(&patch),
    )
    .await
    .map_err(|source| request("adopt", session.as_ref(), source))?;
    Ok(Written::Changed)
}

fn missing(world: &World) -> Option<Value> {
    let (session, configuration) = (&world.session, world.configuration.as_ref()?);
    if !session.owner_references().is_empty() {
        return None;
    }
    let mut wanted = sessions::session_labels(configuration, &session.spec.session);
    // What the user wrote stays, but for the label by which the sessions of a configuration are
    // listed.
    wanted.retain(|key, _| key == labels::INVOKER_NAME || !session.labels().contains_key(key));
    Some(json!({"metadata": {
        "uid": session.uid(),
        "labels": wanted,
        "ownerReferences": [sessions::owner(configuration)],
    }}))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn world(metadata: Value) -> World {
        let session = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": metadata, "spec": {"session": "s"}});
        let configuration = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "c", "namespace": "demo", "uid": "u"}, "spec": {}});
        World {
            session: Arc::new(serde_json::from_value(session).unwrap()),
            configuration: Some(serde_json::from_value(configuration).unwrap()),
            ..World::default()
        }
    }

    #[test]
    fn a_session_without_an_owner_gets_its_configurations_labels_and_keeps_its_own() {
        let patch = missing(&world(json!({"name": "m", "namespace": "demo",
            "labels": {"kubestash.com/session-name": "mine", "kubestash.com/invoker-name": "wrong"}})));
        let metadata = patch.unwrap()["metadata"].clone();
        assert_eq!(metadata["ownerReferences"][0]["uid"], "u");
        assert_eq!(metadata["labels"]["kubestash.com/invoker-name"], "c");
        assert_eq!(metadata["labels"].get("kubestash.com/session-name"), None);
        assert_eq!(
            metadata["labels"]["kubestash.com/invoker-namespace"],
            "demo"
        );
    }

    #[test]
    fn a_session_with_an_owner_is_left_alone() {
        let owned = json!({"name": "m", "namespace": "demo", "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}]});
        assert_eq!(missing(&world(owned)), None);
    }
}
