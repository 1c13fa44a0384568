//! Carrying out what was decided for a target.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::BackupConfiguration;
use serde_json::json;

use super::decide::{self, Desired, Plan, World, is_generated};
use super::said::{self, Applied, End, Since};
use super::{MANAGER, Refusal, target};
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError};
use crate::runtime::controller::Reason;
use crate::runtime::events::Notice;

/// Why a target could not be served; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// The API server or a webhook refused the configuration. What it objects to may lie in objects
    /// that wake nobody here, so this is tried again with growing intervals.
    #[error(transparent)]
    Denied(#[from] Refusal),
    /// A request failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl Reason for TargetError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Denied(refusal) => refusal.kind(),
            Self::Apply(error) => error.kind(),
        }
    }

    fn is_news(&self) -> bool {
        match self {
            // Told already, where its owner looks and with what goes on meanwhile.
            Self::Denied(_) => false,
            Self::Apply(error) => error.is_news(),
        }
    }
}

/// Does what `plan` says, and tells what keeps the wish from being fulfilled. `mistakes` are those
/// in the annotations.
pub(super) async fn apply(
    ctx: &Context,
    applied: &Applied,
    binding: &AppBinding,
    world: &World,
    plan: Plan,
    mistakes: Option<&Notice>,
) -> Result<(), TargetError> {
    if let Some(mistakes) = mistakes {
        tell_target(ctx, binding, mistakes).await;
    }
    let desired = plan.apply.as_ref().or(plan.unchanged.as_ref());
    for configuration in &plan.delete {
        let end = match desired {
            Some(desired) => End::Moved(desired.object.namespace().unwrap_or_default()),
            None => End::NotAsked,
        };
        tell_target(ctx, binding, &said::ended(configuration, &end)).await;
        let namespace = configuration.namespace().unwrap_or_default();
        apply::delete(
            &ctx.api::<BackupConfiguration>(&namespace),
            configuration.as_ref(),
        )
        .await?;
        tracing::info!(
            namespace,
            name = configuration.name_any(),
            "deleted a configuration that is not asked for any more"
        );
    }
    let uid = binding.uid().unwrap_or_default();
    let refused = match &plan.apply {
        Some(desired) => {
            let since = applied.since(&uid, desired);
            match tell_of_edit(ctx, binding, world, desired, since).await? {
                true => write(ctx, world, desired).await?,
                false => None,
            }
        }
        None => None,
    };
    match desired {
        Some(desired) if refused.is_none() => applied.remember(&uid, desired),
        _ => applied.forget(&uid),
    }
    // A denial is returned, so that it is tried again.
    if let Some(denied) = refused {
        tell(ctx, binding, world, &denied).await;
        return match denied {
            Refusal::NameTaken(_) => Ok(()),
            denied => Err(denied.into()),
        };
    }
    if let Some(notice) = desired.and_then(|desired| said::elsewhere(desired, &world.target)) {
        tell_target(ctx, binding, &notice).await;
    }
    match &plan.refusal {
        Some(refusal) => tell(ctx, binding, world, refusal).await,
        None if mistakes.is_none() && plan.delete.is_empty() => recovered(ctx, binding),
        None => {}
    }
    Ok(())
}

/// Tells who has changed a configuration by hand that it does not stay so. Whether it has to be
/// written: the store may lag behind what we have written ourselves, and to write it once more
/// would take back an edit that nobody was told of.
async fn tell_of_edit(
    ctx: &Context,
    binding: &AppBinding,
    world: &World,
    desired: &Desired,
    since: Since,
) -> Result<bool, TargetError> {
    if since == Since::Nothing {
        return Ok(true);
    }
    let object = &desired.object;
    let api: Api<BackupConfiguration> = ctx.api(&object.namespace().unwrap_or_default());
    let live = apply::get(&api, &object.name_any()).await?.map(Arc::new);
    let now = Desired {
        object: object.clone(),
        live,
    };
    match &now.live {
        Some(live) if !decide::says_already(live, object) => {
            let notice = said::reverted(&now, &world.target);
            ctx.events.tell(live.as_ref(), &notice).await;
        }
        Some(_) => return Ok(false),
        None => tell_target(ctx, binding, &said::created_again(&now, &world.target)).await,
    }
    Ok(true)
}

/// Tells on the annotated object and on the database behind it.
pub(super) async fn tell_target(ctx: &Context, binding: &AppBinding, notice: &Notice) {
    ctx.events.tell(binding, notice).await;
    if let Some(database) = target::database(binding) {
        ctx.events.tell_about(&database, notice).await;
    }
}

fn recovered(ctx: &Context, binding: &AppBinding) {
    ctx.events.recovered(binding);
    if let Some(database) = target::database(binding) {
        ctx.events.recovered_about(&database);
    }
}

async fn tell(ctx: &Context, binding: &AppBinding, world: &World, refusal: &Refusal) {
    let mut notice = refusal.notice();
    if let Some(standing) = decide::standing(world).filter(|_| refusal.leaves_standing()) {
        notice.note = format!(
            "{}; until then BackupConfiguration {}/{} stays as it is",
            notice.note,
            standing.namespace().unwrap_or_default(),
            standing.name_any()
        );
    }
    tell_target(ctx, binding, &notice).await;
    if let Some(blueprint) = &world.blueprint {
        let mut about_target = notice;
        about_target.note = format!(
            "{}/{}: {}",
            world.target.namespace, world.target.name, about_target.note
        );
        ctx.events.tell(blueprint.as_ref(), &about_target).await;
    }
}

/// Applies the configuration; what the API server or a webhook does not accept comes back as a
/// refusal.
async fn write(
    ctx: &Context,
    world: &World,
    desired: &Desired,
) -> Result<Option<Refusal>, TargetError> {
    let object = &desired.object;
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let api: Api<BackupConfiguration> = ctx.api(&namespace);
    let request = |source| apply::request("apply", object, source);
    let live = match &desired.live {
        Some(live) => Some(Arc::clone(live)),
        // The store may lag behind; what is there must not be taken over.
        None => api.get_opt(&name).await.map_err(request)?.map(Arc::new),
    };
    if let Some(live) = &live
        && !is_generated(live, &world.target)
    {
        return Ok(Some(Refusal::NameTaken(format!("{namespace}/{name}"))));
    }
    let mut metadata = json!({ "name": name, "namespace": namespace, "labels": object.labels() });
    // The uid makes a re-created object of the same name a conflict.
    if let Some(uid) = live.as_ref().and_then(|live| live.uid()) {
        metadata["uid"] = json!(uid);
    }
    if !object.annotations().is_empty() {
        metadata["annotations"] = json!(object.annotations());
    }
    let spec = serde_json::to_value(&object.spec).map_err(|source| Refusal::TemplateInvalid {
        blueprint: name.clone(),
        source,
    })?;
    let patch = json!({
        "apiVersion": BackupConfiguration::api_version(&()),
        "kind": BackupConfiguration::kind(&()),
        "metadata": metadata,
        "spec": spec,
    });
    let params = PatchParams::apply(MANAGER.0);
    // A new object is not forced: should one appear in between, it is a conflict and stays as it
    // is.
    let params = if live.is_some() {
        params.force()
    } else {
        params
    };
    match api.patch(&name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if !status.is_conflict() => Ok(Some(Refusal::Denied {
            configuration: format!("{namespace}/{name}"),
            message: status.message.clone(),
        })),
        Err(source) => Err(request(source).into()),
    }
}
