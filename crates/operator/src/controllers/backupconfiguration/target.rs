//! The object that is backed up: is it there, and may it be backed up yet?

use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiResource};
use kube::{Api, Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{Druid, MariaDB, MySQL, Postgres};
use kubestash_api::shared::TypedObjectReference;
use kubestash_domain::manifest::DatabaseKind;

use crate::context::Context;

/// The API group of databases, which are reached through the AppBinding of their name.
const DATABASES: &str = "kubedb.com";
/// The API group of AppBindings.
const CATALOG: &str = "appcatalog.appscode.com";

/// What is known about a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TargetState {
    /// Why it cannot be backed up; none if it can.
    pub missing: Option<String>,
    /// Whether it waits to be filled by a restore, so that a first backup would save nothing.
    pub awaits_restore: bool,
    /// The version of the application.
    pub version: Option<String>,
}

impl TargetState {
    /// Whether the target is there.
    #[must_use]
    pub(crate) fn found(&self) -> bool {
        self.missing.is_none()
    }
}

/// A failure to look.
#[derive(Debug, thiserror::Error)]
#[error("failed to look for the target {}: {}", .0, crate::runtime::apply::spoken(.1))]
pub(crate) struct TargetError(String, #[source] Box<kube::Error>);

impl TargetError {
    /// A stable word for the failure.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        "TargetUnknown"
    }
}

/// Looks for the target of a configuration in `namespace`.
///
/// # Errors
/// When the API server does not answer; a target that is not there is an answer.
pub(crate) async fn look(
    ctx: &Context,
    target: &TypedObjectReference,
    namespace: &str,
) -> Result<TargetState, TargetError> {
    let target_namespace = target.namespace_or(namespace);
    let name = format!("{} {target_namespace}/{}", target.kind(), target.name);
    if target.group() == CATALOG {
        let binding = ctx.watches.app_bindings.get(target_namespace, &target.name);
        return Ok(TargetState {
            missing: binding.is_none().then(|| format!("{name} does not exist")),
            version: binding.and_then(|binding| binding.spec.version.clone()),
            ..TargetState::default()
        });
    }
    let found = get(ctx, target, target_namespace)
        .await
        .map_err(|source| TargetError(name.clone(), Box::new(source)))?;
    let binding = ctx.watches.app_bindings.get(target_namespace, &target.name);
    Ok(judge(
        &name,
        target.group() == DATABASES,
        found.as_ref(),
        binding.as_deref(),
    ))
}

fn judge(
    name: &str,
    is_database: bool,
    found: Option<&DynamicObject>,
    binding: Option<&AppBinding>,
) -> TargetState {
    let missing = match found {
        None => Some(format!("{name} does not exist")),
        Some(found) if found.metadata.deletion_timestamp.is_some() => {
            Some(format!("{name} is being deleted"))
        }
        Some(found) if is_database && binding.is_none() => Some(format!(
            "{name} has no AppBinding {} yet, by which it is reached",
            found.name_any()
        )),
        Some(_) => None,
    };
    let flag = |pointer: &str| {
        found
            .and_then(|found| found.data.pointer(pointer))
            .and_then(serde_json::Value::as_bool)
            .unwrap_or_default()
    };
    TargetState {
        missing,
        awaits_restore: flag("/spec/init/waitForInitialRestore") && !flag("/spec/init/initialized"),
        version: binding.and_then(|binding| binding.spec.version.clone()),
    }
}

async fn get(
    ctx: &Context,
    target: &TypedObjectReference,
    namespace: &str,
) -> Result<Option<DynamicObject>, kube::Error> {
    let Some(resource) = resource(ctx, target).await? else {
        return Ok(None);
    };
    Api::<DynamicObject>::namespaced_with(ctx.client.clone(), namespace, &resource)
        .get_opt(&target.name)
        .await
}

/// How the API server serves the kind of a target; none if it does not. The kinds we know need no
/// question; of any other a reference names no version, so the most stable one is asked for.
async fn resource(
    ctx: &Context,
    target: &TypedObjectReference,
) -> Result<Option<ApiResource>, kube::Error> {
    if let Some(known) = known(target) {
        return Ok(Some(known));
    }
    let found = if target.group().is_empty() {
        let kind = GroupVersionKind::gvk("", "v1", target.kind());
        let found = discovery::oneshot::pinned_kind(&ctx.client, &kind).await;
        found.map(|(resource, _)| Some(resource))
    } else {
        let group = discovery::oneshot::group(&ctx.client, target.group()).await;
        group.map(|group| {
            let kinds = group
                .resources_by_stability()
                .into_iter()
                .map(|(resource, _)| resource);
            kinds
                .into_iter()
                .find(|resource| resource.kind == target.kind())
        })
    };
    match found {
        Err(kube::Error::Discovery(_)) => Ok(None),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        other => other,
    }
}

/// The resource of a target's kind; none if the API server does not serve it.
pub(crate) async fn plural(
    ctx: &Context,
    target: &TypedObjectReference,
) -> Result<Option<String>, TargetError> {
    if let Some(known) = DatabaseKind::of(target.group(), target.kind()) {
        return Ok(Some(known.plural().to_owned()));
    }
    if target.group() == CATALOG && target.kind() == AppBinding::kind(&()) {
        return Ok(Some(AppBinding::plural(&()).into_owned()));
    }
    let found = resource(ctx, target).await;
    let found = found.map_err(|source| {
        TargetError(
            format!("{} {}", target.kind(), target.name),
            Box::new(source),
        )
    })?;
    Ok(found.map(|resource| resource.plural))
}

fn known(target: &TypedObjectReference) -> Option<ApiResource> {
    if target.group() != DATABASES {
        return None;
    }
    let known = [
        ApiResource::erase::<Druid>(&()),
        ApiResource::erase::<MySQL>(&()),
        ApiResource::erase::<MariaDB>(&()),
        ApiResource::erase::<Postgres>(&()),
    ];
    known
        .into_iter()
        .find(|resource| resource.kind == target.kind())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn druid(spec: serde_json::Value, deleting: bool) -> DynamicObject {
        let mut metadata = json!({"name": "d", "namespace": "demo"});
        if deleting {
            metadata["deletionTimestamp"] = json!("2024-09-19T10:30:46Z");
        }
        serde_json::from_value(json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
            "metadata": metadata, "spec": spec}))
        .unwrap()
    }

    fn binding() -> AppBinding {
        serde_json::from_value(json!({"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": "d", "namespace": "demo"}, "spec": {"version": "30.0.0", "clientConfig": {}}}))
        .unwrap()
    }

    #[test]
    fn a_database_is_found_with_its_binding_and_says_its_version() {
        let state = judge(
            "Druid demo/d",
            true,
            Some(&druid(json!({}), false)),
            Some(&binding()),
        );
        assert!(state.found() && !state.awaits_restore);
        assert_eq!(state.version.as_deref(), Some("30.0.0"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let there = druid(json!({}), false);
        let going = druid(json!({}), true);
        let cases = [
            (None, Some(binding()), "Druid demo/d does not exist"),
            (
                Some(&going),
                Some(binding()),
                "Druid demo/d is being deleted",
            ),
            (
                Some(&there),
                None,
                "Druid demo/d has no AppBinding d yet, by which it is reached",
            ),
        ];
        for (found, binding, reason) in cases {
            let state = judge("Druid demo/d", true, found, binding.as_ref());
            assert_eq!(state.missing.as_deref(), Some(reason));
        }
        assert!(judge("Deployment demo/d", false, Some(&there), None).found());
    }

    #[test]
    fn a_target_awaits_its_first_restore_until_it_is_initialized() {
        let cases = [
            (json!({}), false),
            (json!({"init": {"waitForInitialRestore": false}}), false),
            (json!({"init": {"waitForInitialRestore": true}}), true),
            (
                json!({"init": {"waitForInitialRestore": true, "initialized": true}}),
                false,
            ),
        ];
        for (spec, awaits) in cases {
            let state = judge(
                "Druid demo/d",
                true,
                Some(&druid(spec, false)),
                Some(&binding()),
            );
            assert_eq!(state.awaits_restore, awaits);
        }
    }
}
