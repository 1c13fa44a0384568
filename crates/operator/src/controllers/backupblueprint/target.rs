//! The reconciler of annotated targets.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference as EventReference, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::labels;
use kubestash_api::shared::TypedObjectReference;
use kubestash_domain::name;

use super::apply::{TargetError, apply};
use super::decide::{Target, World, decide, is_from_blueprint};
use super::permit::{Consents, Permits};
use super::request::Request;
use super::said::Applied;
use super::spelling;
use crate::consent::check;
use crate::context::Context;
use crate::runtime::controller::Controller;

pub(super) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let applied = Arc::new(Applied::default());
    let bindings = watches.app_bindings.clone();
    let by_blueprint = {
        let bindings = bindings.clone();
        move |blueprint: &BackupBlueprint| {
            let (name, namespace) = (
                blueprint.name_any(),
                blueprint.namespace().unwrap_or_default(),
            );
            bindings.select(move |binding| {
                request(binding)
                    .is_some_and(|asked| asked.blueprint == name && asked.namespace == namespace)
            })
        }
    };
    let by_configuration = {
        let bindings = bindings.clone();
        move |configuration: &BackupConfiguration| {
            let from_blueprint = is_from_blueprint(configuration);
            let target = configuration.spec.target.clone();
            let namespace = configuration.namespace().unwrap_or_default();
            bindings.select(move |binding| {
                let asks = request(binding).is_some();
                (from_blueprint || asks)
                    && target
                        .as_ref()
                        .is_some_and(|target| target.same_object(&reference(binding), &namespace))
            })
        }
    };
    let annotated = {
        let bindings = bindings.clone();
        move || bindings.select(|binding| request(binding).is_some())
    };
    let waiting = annotated.clone();
    Controller::new("blueprint-target", ctx, &watches.app_bindings)
        .on(&watches.backup_blueprints, move |blueprint| {
            references(by_blueprint(blueprint))
        })
        .on(&watches.backup_configurations, move |configuration| {
            references(by_configuration(configuration))
        })
        .on(&watches.namespaces, move |_| references(annotated()))
        .on(
            &watches.secrets,
            move |secret: &PartialObjectMeta<Secret>| {
                // Its owner may just have let somebody in.
                let lets_in = secret
                    .annotations()
                    .contains_key(labels::ALLOWED_NAMESPACES);
                references(if lets_in { waiting() } else { Vec::new() })
            },
        )
        .run(move |binding, ctx| reconcile(binding, ctx, Arc::clone(&applied)))
        .await;
}

fn references(bindings: Vec<Arc<AppBinding>>) -> Vec<ObjectRef<AppBinding>> {
    bindings
        .iter()
        .map(|binding| ObjectRef::from_obj(binding.as_ref()))
        .collect()
}

async fn reconcile(
    binding: Arc<AppBinding>,
    ctx: Arc<Context>,
    applied: Arc<Applied>,
) -> Result<Action, TargetError> {
    let world = dereference(&binding, &ctx);
    let plan = decide(&world);
    let mistakes = match world.target.deleting {
        true => None,
        false => spelling::notice(binding.annotations(), world.blueprint.as_deref()),
    };
    apply(&ctx, &applied, &binding, &world, plan, mistakes.as_ref()).await?;
    Ok(Action::await_change())
}

fn dereference(binding: &AppBinding, ctx: &Arc<Context>) -> World {
    let target = Target {
        kind: AppBinding::kind(&()).into_owned(),
        name: binding.name_any(),
        namespace: binding.namespace().unwrap_or_default(),
        reference: reference(binding),
        request: request(binding),
        deleting: binding.meta().deletion_timestamp.is_some(),
    };
    let blueprint = target.request.as_ref().and_then(|asked| {
        ctx.watches
            .backup_blueprints
            .get(&asked.namespace, &asked.blueprint)
    });
    let configurations = ctx.watches.backup_configurations.select(|found| {
        let namespace = found.namespace().unwrap_or_default();
        found.name_any()
            == name::generated_configuration(
                &target.kind,
                &target.name,
                &target.namespace,
                &namespace,
            )
    });
    let namespaces: BTreeSet<String> = ctx
        .watches
        .namespaces
        .select(|namespace| namespace.meta().deletion_timestamp.is_none())
        .iter()
        .map(|namespace| namespace.name_any())
        .collect();
    World {
        namespace_labels: ctx.namespace_labels(&target.namespace),
        target,
        namespaces,
        blueprint,
        configurations,
        permits: Permits {
            key: Arc::clone(&ctx.grants),
            consents: consents(ctx),
            now: Timestamp::now(),
        },
    }
}

fn consents(ctx: &Arc<Context>) -> Consents {
    let ctx = Arc::clone(ctx);
    Arc::new(move |need, own| check::is_consented(&ctx, need, own))
}

fn request(binding: &AppBinding) -> Option<Request> {
    Request::read(
        binding.annotations(),
        &binding.namespace().unwrap_or_default(),
    )
}

/// The AppBindings that stand for the target of a configuration: those by which its owner is told.
pub(super) fn bindings_of(
    ctx: &Context,
    configuration: &BackupConfiguration,
) -> Vec<Arc<AppBinding>> {
    let namespace = configuration.namespace().unwrap_or_default();
    let Some(target) = configuration.spec.target.clone() else {
        return Vec::new();
    };
    ctx.watches
        .app_bindings
        .select(|binding| target.same_object(&reference(binding), &namespace))
}

/// What an AppBinding stands for: the database it was made for, or itself if it says nothing.
fn reference(binding: &AppBinding) -> TypedObjectReference {
    let namespace = binding.namespace().unwrap_or_default();
    match &binding.spec.app_ref {
        Some(database) => TypedObjectReference {
            namespace: Some(database.namespace_or(&namespace).to_owned()),
            ..database.clone()
        },
        None => TypedObjectReference::new(
            AppBinding::group(&()),
            AppBinding::kind(&()),
            binding.name_any(),
            namespace,
        ),
    }
}

/// The database behind an AppBinding, as an Event refers to it. Its uid is known from the owner
/// reference, and `kubectl describe` finds Events by the uid.
pub(super) fn database(binding: &AppBinding) -> Option<EventReference> {
    let database = binding.spec.app_ref.as_ref()?;
    let owner = binding
        .owner_references()
        .iter()
        .find(|owner| owner.kind == database.kind() && owner.name == database.name);
    Some(EventReference {
        api_version: owner
            .map(|owner| owner.api_version.clone())
            .or_else(|| database.api_group.clone()),
        kind: database.kind.clone(),
        name: Some(database.name.clone()),
        namespace: Some(
            database
                .namespace_or(&binding.namespace().unwrap_or_default())
                .to_owned(),
        ),
        uid: owner.map(|owner| owner.uid.clone()),
        ..EventReference::default()
    })
}
