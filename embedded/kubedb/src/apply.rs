//! Writing objects, and only when something changes.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use kubestash_api::kubedb::DatabaseInit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::KubedbError;
use crate::status::{self, Change};

/// Field manager of everything the provider writes.
pub(crate) const MANAGER: &str = "kubestash-kubedb";

/// A kind that the provider writes.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + PartialEq
{
}
impl<T> Kind for T where
    T: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug
        + PartialEq
{
}

/// What an error says was tried: `apply MySQL demo/x`.
fn action<K: Kind>(verb: &str, object: &K) -> String {
    format!(
        "{verb} {} {}/{}",
        K::kind(&()),
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// Server-side apply of a whole object. The API server leaves an object alone that is as wanted
/// already.
pub(crate) async fn object<K: Kind>(client: &kube::Client, object: &K) -> Result<K, KubedbError> {
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    api.patch(
        &object.name_any(),
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(object),
    )
    .await
    .map_err(KubedbError::api(action("apply", object)))
}

/// Replaces the status of an object if it differs from the one it has.
pub(crate) async fn whole_status<K: Kind, S: Serialize + PartialEq>(
    client: &kube::Client,
    object: &K,
    old: Option<&S>,
    new: &S,
) -> Result<(), KubedbError> {
    if old == Some(new) {
        return Ok(());
    }
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "status": new,
    });
    api.patch_status(
        &object.name_any(),
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(patch),
    )
    .await
    .map_err(KubedbError::api(action("write the status of", object)))?;
    Ok(())
}

/// Notes in the spec that the initial restore is over once the database is provisioned, as KubeDB
/// does.
pub(crate) async fn initialised<K: Kind>(
    client: &kube::Client,
    object: &K,
    init: Option<&DatabaseInit>,
    changes: &[Change],
) -> Result<(), KubedbError> {
    let waits = init.is_some_and(|init| {
        init.wait_for_initial_restore == Some(true) && init.initialized != Some(true)
    });
    let provisioned = |change: &Change| matches!(change, Change::With(fact) if fact.type_ == status::PROVISIONED && fact.holds);
    if !waits || !changes.iter().any(provisioned) {
        return Ok(());
    }
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"uid": object.uid()}, "spec": {"init": {"initialized": true}}});
    api.patch(
        &object.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
    .map_err(KubedbError::api(action("mark as initialised", object)))?;
    Ok(())
}

/// Whether an object is still the one that was seen: what is ended for one that is gone may belong
/// to its successor.
pub(crate) async fn is_current<K: Kind>(
    client: &kube::Client,
    object: &K,
) -> Result<bool, KubedbError> {
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let found = api.get_opt(&object.name_any()).await;
    let found = found.map_err(KubedbError::api(action("read", object)))?;
    Ok(found.is_some_and(|found| found.uid() == object.uid()))
}

/// Adds or removes a finalizer, if it is not as wanted.
pub(crate) async fn finalizer<K: Kind>(
    client: &kube::Client,
    object: &K,
    finalizer: &str,
    wanted: bool,
) -> Result<(), KubedbError> {
    let mut finalizers = object.finalizers().to_vec();
    if finalizers.iter().any(|known| known == finalizer) == wanted {
        return Ok(());
    }
    finalizers.retain(|known| known != finalizer);
    if wanted {
        finalizers.push(finalizer.to_owned());
    }
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    // The resource version keeps a finalizer that somebody else adds at this moment.
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()}});
    api.patch(
        &object.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
    .map_err(KubedbError::api(action("change the finalizers of", object)))?;
    Ok(())
}

/// Deletes an object; a missing one is fine. Returns whether it is still there.
pub(crate) async fn delete<K: Kind>(
    client: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<bool, KubedbError> {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let what = || format!("delete {} {namespace}/{name}", K::kind(&()));
    match api.get_opt(name).await.map_err(KubedbError::api(what()))? {
        None => Ok(false),
        Some(object) if object.meta().deletion_timestamp.is_some() => Ok(true),
        Some(_) => match api.delete(name, &DeleteParams::default()).await {
            Ok(either) => Ok(either.is_left()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(KubedbError::api(what())(error)),
        },
    }
}
