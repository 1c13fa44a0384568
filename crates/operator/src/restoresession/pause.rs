//! The target's backups rest while it is restored: a backup in between would save half of the old and half of the new.

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use kubestash_api::{
    core::{BackupConfiguration, RestoreSession},
    shared::TypedObjectReference,
};
use serde_json::{Value, json};

use super::MANAGER;
use crate::{
    apply::{self, ApplyError},
    context::Context,
    controller::full_text,
    events::Notice,
};

/// Pauses what the session's status lists.
///
/// # Errors
/// When a request fails; a configuration that is gone needs no pause.
pub(super) async fn pause(ctx: &Context, session: &RestoreSession) -> Result<(), ApplyError> {
    for backup in paused(session) {
        set(ctx, session, &backup, json!(true)).await?;
    }
    Ok(())
}

/// Resumes what the session's status lists. What the API server refuses for good is told, and does not keep the restore
/// from ending.
///
/// # Errors
/// When a request fails that can succeed later.
pub(super) async fn resume(ctx: &Context, session: &RestoreSession) -> Result<(), ApplyError> {
    for backup in paused(session) {
        // Absent is how it is written by who never pauses.
        match set(ctx, session, &backup, Value::Null).await {
            Err(error) if error.is_final() => {
                let note = format!(
                    "failed to resume BackupConfiguration {}, which was paused for the restore; set its spec.paused to false: {}",
                    backup.name,
                    full_text(&error)
                );
                ctx.events
                    .tell(session, &Notice::warning("BackupStaysPaused", note))
                    .await;
            }
            other => other?,
        }
    }
    Ok(())
}

fn paused(session: &RestoreSession) -> Vec<TypedObjectReference> {
    let status = session.status.as_ref();
    status
        .map(|status| status.paused_backups.clone())
        .unwrap_or_default()
}

async fn set(
    ctx: &Context,
    session: &RestoreSession,
    backup: &TypedObjectReference,
    value: Value,
) -> Result<(), ApplyError> {
    let own = kube::ResourceExt::namespace(session).unwrap_or_default();
    let api: Api<BackupConfiguration> = ctx.api(backup.namespace_or(&own));
    let Some(live) = apply::get(&api, &backup.name).await? else {
        return Ok(());
    };
    if live.spec.paused.unwrap_or_default() == value.as_bool().unwrap_or_default() {
        return Ok(());
    }
    let params = PatchParams {
        field_manager: Some(MANAGER.0.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"paused": value}}));
    match api.patch(&backup.name, &params, &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(apply::request("pause or resume", &live, source)),
    }
}
