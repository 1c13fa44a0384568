//! Everything that is read for a configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use kubestash_api::addons::Addon;
use kubestash_api::core::{BackupConfiguration, BackupSession, HookTemplate};
use kubestash_api::shared::ObjectReference;

use super::decide::{World, needs_sessions};
use super::sessions::is_owned_by;
use super::{ConfigurationError, cleanup, health, target};
use crate::consent::check;
use crate::context::Context;
use crate::runtime::apply;
use crate::validation::Others;

/// Reads the world of a configuration.
pub(super) async fn world(
    configuration: &Arc<BackupConfiguration>,
    ctx: &Context,
) -> Result<(World, Timestamp), ConfigurationError> {
    let namespace = configuration.namespace().unwrap_or_default();
    let target = match &configuration.spec.target {
        Some(target) => Some(target::look(ctx, target, &namespace).await?),
        None => None,
    };
    let made = if needs_sessions(configuration) {
        Some(sessions(configuration, ctx).await?)
    } else {
        None
    };
    let world = World {
        others: Others {
            namespace_labels: ctx.namespace_labels(&namespace),
            storages: ctx.watches.backup_storages.list(),
            policies: ctx.watches.retention_policies.list(),
            repositories: ctx.watches.repositories.list(),
            hook_templates: hook_templates(configuration, ctx).await?,
            addons: ctx.watches.addons.list(),
            functions: ctx.watches.functions.list(),
        },
        refusals: check::configuration(ctx, configuration).await?,
        target,
        addons: addons(configuration, ctx),
        functions: ctx
            .watches
            .functions
            .list()
            .iter()
            .map(|function| function.name_any())
            .collect(),
        outside: None,
        made,
        complaint: health::complaint(
            configuration,
            &ctx.watches.backup_sessions.list(),
            &ctx.watches.snapshots.list(),
        ),
        configuration: Arc::clone(configuration),
    };
    Ok((world, Timestamp::now()))
}

/// Reads the world of a configuration that is being deleted.
pub(super) fn cleanup_world(
    configuration: &Arc<BackupConfiguration>,
    ctx: &Context,
) -> cleanup::World {
    let namespace = configuration.namespace();
    cleanup::World {
        siblings: ctx
            .watches
            .backup_configurations
            .select(|other| other.namespace() == namespace),
        repositories: ctx
            .watches
            .repositories
            .select(|repository| repository.namespace() == namespace),
        sessions: ctx.watches.backup_sessions.select(|session| {
            session.namespace() == namespace && is_owned_by(session, configuration)
        }),
        configuration: Arc::clone(configuration),
    }
}

/// Asked of the API server, because a store that lags behind would let a first backup be made
/// twice.
async fn sessions(
    configuration: &BackupConfiguration,
    ctx: &Context,
) -> Result<Vec<BackupSession>, ConfigurationError> {
    let api: Api<BackupSession> = ctx.api(&configuration.namespace().unwrap_or_default());
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(|source| apply::request("list the BackupSessions of", configuration, source))?;
    Ok(found.items)
}

fn addons(configuration: &BackupConfiguration, ctx: &Context) -> BTreeMap<String, Arc<Addon>> {
    let names = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| session.addon.as_ref());
    names
        .filter_map(|addon| Some((addon.name.clone(), ctx.watches.addons.get("", &addon.name)?)))
        .collect()
}

async fn hook_templates(
    configuration: &BackupConfiguration,
    ctx: &Context,
) -> Result<Vec<Arc<HookTemplate>>, ConfigurationError> {
    let namespace = configuration.namespace().unwrap_or_default();
    let mut found = Vec::new();
    for reference in hook_references(configuration) {
        let api: Api<HookTemplate> = ctx.api(reference.namespace_or(&namespace));
        found.extend(apply::get(&api, &reference.name).await?.map(Arc::new));
    }
    Ok(found)
}

fn hook_references(configuration: &BackupConfiguration) -> Vec<ObjectReference> {
    let hooks = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| session.hooks.as_ref());
    hooks
        .flat_map(|hooks| hooks.pre_backup.iter().chain(&hooks.post_backup))
        .filter_map(|hook| hook.hook_template.clone())
        .collect()
}
