//! The target's backups rest while it is restored: a backup in between would save half of the old
//! and half of the new.
//!
//! The session's status lists them, and whoever may write the session may write that as well. So
//! only a backup of the session's own target is paused, and only one that a restore has paused is
//! resumed.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use kubestash_api::core::{BackupConfiguration, RestoreSession};
use kubestash_api::shared::TypedObjectReference;
use serde_json::{Value, json};

use super::MANAGER;
use crate::context::Context;
use crate::controllers::backupconfiguration::target_reference;
use crate::runtime::apply::{self, ApplyError};
use crate::runtime::controller::full_text;
use crate::runtime::events::Notice;

/// Pauses what the session's status lists.
///
/// # Errors
/// When a request fails; a configuration that is gone needs no pause.
pub(super) async fn pause(
    ctx: &Context,
    session: &RestoreSession,
    target: Option<&TypedObjectReference>,
) -> Result<(), ApplyError> {
    let own = session.namespace().unwrap_or_default();
    let is_of_target = |backup: &BackupConfiguration| {
        target.is_some_and(|target| target_reference(backup).same_object(target, &own))
    };
    for backup in paused(session) {
        set(ctx, session, &backup, json!(true), is_of_target).await?;
    }
    Ok(())
}

/// Whether it was a restore that paused a backup.
fn is_paused_by_restore(backup: &BackupConfiguration) -> bool {
    backup.managed_fields().iter().any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        entry.manager.as_deref() == Some(MANAGER.0)
            && fields.is_some_and(|fields| fields.pointer("/f:spec/f:paused").is_some())
    })
}

/// Resumes what the session's status lists. What the API server refuses for good is told, and does
/// not keep the restore from ending.
///
/// # Errors
/// When a request fails that can succeed later.
pub(super) async fn resume(ctx: &Context, session: &RestoreSession) -> Result<(), ApplyError> {
    for backup in paused(session) {
        // Absent is how it is written by who never pauses.
        match set(ctx, session, &backup, Value::Null, is_paused_by_restore).await {
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
    concerns: impl Fn(&BackupConfiguration) -> bool,
) -> Result<(), ApplyError> {
    let own = session.namespace().unwrap_or_default();
    let api: Api<BackupConfiguration> = ctx.api(backup.namespace_or(&own));
    let Some(live) = apply::get(&api, &backup.name).await? else {
        return Ok(());
    };
    if live.spec.paused.unwrap_or_default() == value.as_bool().unwrap_or_default()
        || !concerns(&live)
    {
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
