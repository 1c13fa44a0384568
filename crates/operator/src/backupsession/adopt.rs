//! Sessions made by hand: they belong to their configuration like any other, and go with it.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use kubestash_api::{core::BackupSession, labels};
use serde_json::{Value, json};

use super::world::World;
use crate::{
    apply::{ApplyError, Written, request},
    backupconfiguration::sessions,
};

/// Gives a session of a configuration the owner and the labels that the scheduler gives, where they are missing. A
/// session of another owner is left alone.
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
    // What the user wrote stays, but for the label by which the sessions of a configuration are listed.
    wanted.retain(|key, _| key == labels::INVOKER_NAME || !session.labels().contains_key(key));
    Some(json!({"metadata": {
        "uid": session.uid(),
        "labels": wanted,
        "ownerReferences": [sessions::owner(configuration)],
    }}))
}
