//! Carrying out what was decided for a target.

use std::sync::Arc;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use kubestash_api::{appcatalog::AppBinding, core::BackupConfiguration};
use serde_json::json;

use super::{
    MANAGER, Refusal,
    decide::{Desired, Plan, World, is_generated},
    target,
};
use crate::{
    apply::{self, ApplyError},
    context::Context,
    controller::Reason,
};

/// Why a target could not be served; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// The API server or a webhook refused the configuration. What it objects to may lie in objects that wake nobody
    /// here, so this is tried again with growing intervals.
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
            Self::Denied(_) => true,
            Self::Apply(error) => error.is_news(),
        }
    }
}

/// Does what `plan` says, and tells what keeps the wish from being fulfilled.
pub(super) async fn apply(
    ctx: &Context,
    binding: &AppBinding,
    world: &World,
    plan: Plan,
) -> Result<(), TargetError> {
    for configuration in &plan.delete {
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
    let refused = match &plan.apply {
        Some(desired) => write(ctx, world, desired).await?,
        None => None,
    };
    // A denial is returned, so that it is tried again; telling it twice makes one Event.
    if let Some(denied) = refused {
        tell(ctx, binding, world, &denied).await;
        return match denied {
            Refusal::NameTaken(_) => Ok(()),
            denied => Err(denied.into()),
        };
    }
    match &plan.refusal {
        Some(refusal) => tell(ctx, binding, world, refusal).await,
        None => ctx.events.recovered(binding),
    }
    Ok(())
}

async fn tell(ctx: &Context, binding: &AppBinding, world: &World, refusal: &Refusal) {
    let notice = refusal.notice();
    ctx.events.tell(binding, &notice).await;
    if let Some(database) = target::database(binding) {
        ctx.events.tell_about(&database, &notice).await;
    }
    if let Some(blueprint) = &world.blueprint {
        let mut about_target = notice;
        about_target.note = format!(
            "{}/{}: {}",
            world.target.namespace, world.target.name, about_target.note
        );
        ctx.events.tell(blueprint.as_ref(), &about_target).await;
    }
}

/// Applies the configuration; what the API server or a webhook does not accept comes back as a refusal.
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
    // A new object is not forced: should one appear in between, it is a conflict and stays as it is.
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
