//! Carrying out what was decided for a configuration.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::labels;
use kubestash_api::shared::{DeletionPolicy, RepositoryDeletionPolicy};
use kubestash_api::storage::Repository;
use serde_json::json;

use super::decide::{DesiredRepository, Plan};
use super::sessions::is_owned_by;
use super::{ConfigurationError, MANAGER, cleanup};
use crate::consent::{Grant, Subject, references};
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError, Owns};
use crate::runtime::events::Notice;

/// Does what `plan` says.
pub(super) async fn apply(
    ctx: &Context,
    configuration: &BackupConfiguration,
    plan: &Plan,
) -> Result<(), ConfigurationError> {
    for repository in &plan.repositories {
        self::repository(ctx, configuration, repository).await?;
    }
    for session in &plan.start {
        start(ctx, configuration, session).await?;
    }
    tell(ctx, configuration, plan).await
}

/// Writes the status, and tells what the user has to know.
pub(super) async fn tell(
    ctx: &Context,
    configuration: &BackupConfiguration,
    plan: &Plan,
) -> Result<(), ConfigurationError> {
    let namespace = configuration.namespace().unwrap_or_default();
    apply::status(
        &ctx.api(&namespace),
        configuration,
        &plan.status,
        Owns::All,
        MANAGER,
    )
    .await?;
    if plan.recovered {
        ctx.events.recovered(configuration);
    }
    for notice in &plan.notices {
        ctx.events.tell(configuration, notice).await;
    }
    Ok(())
}

/// Makes a BackupSession. One of its name that is there was made for the same run, unless it
/// belongs to something else.
async fn start(
    ctx: &Context,
    configuration: &BackupConfiguration,
    session: &BackupSession,
) -> Result<(), ConfigurationError> {
    let api: Api<BackupSession> = ctx.api(&session.namespace().unwrap_or_default());
    let found = apply::create(&api, session, MANAGER).await?;
    if is_owned_by(&found, configuration) {
        tracing::info!(namespace = ?session.namespace(), name = session.name_any(), "a backup is due");
        return Ok(());
    }
    let note = format!(
        "no backup is created for this run: BackupSession {} exists and belongs to another object; \
         names of more than 63 bytes are cut, use shorter ones for the configuration and its session",
        session.name_any()
    );
    ctx.events
        .tell(configuration, &Notice::warning("NameTaken", note))
        .await;
    Ok(())
}

async fn repository(
    ctx: &Context,
    configuration: &BackupConfiguration,
    desired: &DesiredRepository,
) -> Result<(), ApplyError> {
    let namespace = configuration.namespace().unwrap_or_default();
    let api: Api<Repository> = ctx.api(&namespace);
    let mut wanted = Repository::new(&desired.name, desired.spec.clone());
    wanted.metadata.namespace = Some(namespace.clone());
    let mut spec = json!({
        "appRef": desired.spec.app_ref,
        "storageRef": desired.spec.storage_ref,
        "path": desired.spec.path,
    });
    if let Some(secret) = &desired.spec.encryption_secret {
        spec["encryptionSecret"] = json!(secret);
    }
    let policy = match desired.policy {
        Some(RepositoryDeletionPolicy::WipeOut) => Some(DeletionPolicy::WipeOut),
        Some(RepositoryDeletionPolicy::Delete) => Some(DeletionPolicy::Delete),
        // Left to whoever owns the Repository.
        Some(RepositoryDeletionPolicy::Retain) | None => None,
    };
    if let Some(policy) = policy {
        spec["deletionPolicy"] = json!(policy);
    }
    if let Some(live) = &desired.live {
        let same = live.metadata.deletion_timestamp.is_some()
            || (live.spec.app_ref == desired.spec.app_ref
                && live.spec.storage_ref == desired.spec.storage_ref
                && live.spec.encryption_secret == desired.spec.encryption_secret
                && policy.is_none_or(|policy| policy == live.spec.deletion_policy)
                && passed_on(ctx, configuration, live)
                    .is_none_or(|grant| Grant::of(&Subject::of(live), &ctx.grants) == Some(grant)));
        if same {
            return Ok(());
        }
        // The directory cannot change, however it was written first.
        spec["path"] = json!(live.spec.path);
        wanted.spec.path.clone_from(&live.spec.path);
    }
    let mut metadata = json!({"name": desired.name, "namespace": namespace});
    if let Some(grant) = passed_on(ctx, configuration, &wanted) {
        let text = grant.sign(&Subject::of(&wanted), &ctx.grants, Timestamp::now());
        metadata["annotations"] = json!({ labels::GRANTED_REFERENCES: text });
    }
    let patch = json!({
        "apiVersion": Repository::api_version(&()),
        "kind": Repository::kind(&()),
        "metadata": metadata,
        "spec": spec,
    });
    api.patch(
        &desired.name,
        &PatchParams::apply(MANAGER.0).force(),
        &Patch::Apply(&patch),
    )
    .await
    .map_err(|source| apply::request("apply", &wanted, source))?;
    Ok(())
}

/// What was granted to the configuration and its Repository needs as well: whoever restores from it
/// later asks the Repository alone. What the owner of a Secret has consented to is asked of the
/// owner each time.
fn passed_on(
    ctx: &Context,
    configuration: &BackupConfiguration,
    repository: &Repository,
) -> Option<Grant> {
    let references = references::of_repository(repository);
    if references.is_empty() {
        return None;
    }
    let granted = Grant::needs_of(&Subject::of(configuration), &ctx.grants);
    let needs: BTreeSet<_> = references
        .into_iter()
        .map(|reference| reference.need)
        .filter(|need| granted.contains(need))
        .collect();
    (!needs.is_empty()).then_some(Grant {
        needs,
        pinned: true,
    })
}

/// Does the next step of a deletion; true once the configuration can go.
pub(super) async fn clean_up(
    ctx: &Context,
    configuration: &BackupConfiguration,
    plan: &cleanup::Plan,
) -> Result<bool, ConfigurationError> {
    let namespace = configuration.namespace().unwrap_or_default();
    for session in &plan.sessions {
        apply::delete(&ctx.api::<BackupSession>(&namespace), session.as_ref()).await?;
    }
    for (repository, policy) in &plan.repositories {
        let api: Api<Repository> = ctx.api(&namespace);
        if repository.spec.deletion_policy != *policy {
            let patch = json!({ "spec": { "deletionPolicy": policy } });
            api.patch(
                &repository.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
            .map_err(|source| {
                apply::request("set the deletionPolicy of", repository.as_ref(), source)
            })?;
        }
        apply::delete(&api, repository.as_ref()).await?;
    }
    Ok(plan.release)
}
