//! The finalizer `kubestash.com/cleanup`: set before the first deed that needs undoing, removed
//! when it is undone.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::runtime::apply::{ApplyError, Written, request};

/// Whether `object` carries the finalizer `name`.
pub(crate) fn has<K: Resource>(object: &K, name: &str) -> bool {
    object
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == name)
}

/// The object as it is now, if it is being deleted and still carries the finalizer `name`. To be
/// asked before anything is taken down: a store may be behind, and what was released a moment ago
/// must not be begun anew.
///
/// # Errors
/// When the request fails.
pub(crate) async fn still_due<K>(
    api: &Api<K>,
    seen: &K,
    name: &str,
) -> Result<Option<K>, ApplyError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    if !has(seen, name) {
        return Ok(None);
    }
    let found = crate::runtime::apply::get(api, &seen.name_any()).await?;
    Ok(found.filter(|found| {
        found.uid() == seen.uid() && found.meta().deletion_timestamp.is_some() && has(found, name)
    }))
}

/// Adds the finalizer `name`, unless the object has it or is being deleted (then none can be
/// added).
///
/// # Errors
/// When the request fails; a conflict means that the object changed in between.
pub(crate) async fn ensure<K>(api: &Api<K>, live: &K, name: &str) -> Result<Written, ApplyError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    if has(live, name) || live.meta().deletion_timestamp.is_some() {
        return Ok(Written::Unchanged);
    }
    let mut finalizers = live.finalizers().to_vec();
    finalizers.push(name.to_owned());
    set(api, live, &finalizers).await
}

/// Removes the finalizer `name`, unless it is gone; so is an object that cannot be found.
///
/// # Errors
/// When the request fails; a conflict means that the object changed in between.
pub(crate) async fn remove<K>(api: &Api<K>, live: &K, name: &str) -> Result<Written, ApplyError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    if !has(live, name) {
        return Ok(Written::Unchanged);
    }
    let finalizers: Vec<_> = live
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != name)
        .cloned()
        .collect();
    match set(api, live, &finalizers).await {
        Err(error) if error.is_not_found() => Ok(Written::Unchanged),
        other => other,
    }
}

async fn set<K>(api: &Api<K>, live: &K, finalizers: &[String]) -> Result<Written, ApplyError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    // The resourceVersion makes it a conflict when someone else changed the list in between.
    let patch = json!({ "metadata": {
        "uid": live.uid(), "resourceVersion": live.resource_version(), "finalizers": finalizers,
    }});
    api.patch(
        &live.name_any(),
        &PatchParams::default(),
        &Patch::Merge(&patch),
    )
    .await
    .map_err(|source| request("set the finalizers of", live, source))?;
    Ok(Written::Changed)
}
