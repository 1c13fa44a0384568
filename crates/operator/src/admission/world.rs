//! What the rules of an object need to know, read when it is judged.
//!
//! Storages and policies are few and are applied in one go with what refers to them, so they are
//! listed anew; a store may be a moment behind. Repositories are many; they come from the store,
//! and are checked again at use.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use kubestash_api::core::HookTemplate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Context;
use crate::validation::Others;
use crate::validation::kinds::Kind;

/// Why an object cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what} to judge this object, try again")]
pub(super) struct WorldError {
    what: &'static str,
    #[source]
    source: Box<kube::Error>,
}

/// Reads what the rules of `kind` need for `object`.
pub(super) async fn read(ctx: &Context, kind: Kind, object: &Value) -> Result<Others, WorldError> {
    let namespace = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut others = Others::default();
    let refers = matches!(
        kind,
        Kind::BackupConfiguration | Kind::BackupBlueprint | Kind::RestoreSession
    );
    if refers {
        let api: Api<Namespace> = Api::all(ctx.client.clone());
        let found = api
            .get_opt(namespace)
            .await
            .map_err(|error| failure("the namespace", error))?;
        // A store may be a moment behind; the session judges again.
        others.addons = ctx.watches.addons.list();
        others.functions = ctx.watches.functions.list();
        others.namespace_labels = found
            .map(|found| found.labels().clone())
            .unwrap_or_default();
    }
    if matches!(
        kind,
        Kind::BackupStorage | Kind::BackupConfiguration | Kind::BackupBlueprint
    ) {
        others.storages = all(ctx, "the BackupStorages").await?;
    }
    if matches!(kind, Kind::RetentionPolicy | Kind::BackupConfiguration) {
        others.policies = all(ctx, "the RetentionPolicies").await?;
    }
    if matches!(kind, Kind::BackupConfiguration | Kind::Repository) {
        others.repositories = ctx.watches.repositories.list();
    }
    for (owner, name) in hook_references(object, namespace) {
        let found = ctx.api::<HookTemplate>(&owner).get_opt(&name).await;
        others.hook_templates.extend(
            found
                .map_err(|error| failure("the HookTemplates", error))?
                .map(Arc::new),
        );
    }
    Ok(others)
}

async fn all<K>(ctx: &Context, what: &'static str) -> Result<Vec<Arc<K>>, WorldError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
{
    let api: Api<kube::core::DeserializeGuard<K>> = Api::all(ctx.client.clone());
    let list = api
        .list(&ListParams::default())
        .await
        .map_err(|error| failure(what, error))?;
    // One that cannot be parsed is told by its watch, and must not block every other object.
    Ok(list
        .items
        .into_iter()
        .filter_map(|guard| guard.0.ok())
        .map(Arc::new)
        .collect())
}

fn failure(what: &'static str, source: kube::Error) -> WorldError {
    WorldError {
        what,
        source: Box::new(source),
    }
}

/// Namespace and name of every HookTemplate that a configuration or restore names.
fn hook_references(object: &Value, namespace: &str) -> BTreeSet<(String, String)> {
    let sessions = object
        .pointer("/spec/sessions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let hooks = sessions
        .filter_map(|session| session.get("hooks"))
        .chain(object.pointer("/spec/hooks"));
    hooks
        .filter_map(Value::as_object)
        .flat_map(|hooks| hooks.values())
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|hook| {
            let reference = hook.get("hookTemplate")?;
            let text = |key: &str| {
                reference
                    .get(key)
                    .and_then(Value::as_str)
                    .filter(|text| !text.is_empty())
            };
            Some((
                text("namespace").unwrap_or(namespace).to_owned(),
                text("name")?.to_owned(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_hook_template_is_found_once_with_its_namespace() {
        let object = json!({"spec": {"sessions": [
            {"hooks": {"preBackup": [{"hookTemplate": {"name": "a"}}], "postBackup": [{"hookTemplate": {"name": "a"}}]}},
            {"hooks": {"preBackup": [{"hookTemplate": {"name": "b", "namespace": "other"}}, {"name": "none"}]}},
            {},
        ]}});
        let found: Vec<_> = hook_references(&object, "demo").into_iter().collect();
        assert_eq!(
            found,
            [
                ("demo".to_owned(), "a".to_owned()),
                ("other".to_owned(), "b".to_owned())
            ]
        );
    }
}
