//! Writes: server-side apply, and only when something would change.
//!
//! Invariant: nothing is sent when the live object already says what is desired, so that an idle
//! operator causes no new `resourceVersion`. Every controller applies under a [`Manager`] of its
//! own, because what a manager leaves out of its next apply is removed by the API server.

use std::fmt::Debug;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A failure to write.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused or did not answer.
    #[error("failed to {verb} {kind} {name}: {}", spoken(source))]
    Request {
        /// What was tried.
        verb: &'static str,
        /// The kind of object.
        kind: String,
        /// `namespace/name` of the object.
        name: String,
        /// What the API client says.
        source: Box<kube::Error>,
    },
    /// The object cannot be written as JSON.
    #[error("failed to serialise {kind} {name}")]
    Serialise {
        /// The kind of object.
        kind: String,
        /// `namespace/name` of the object.
        name: String,
        /// What the serialiser says.
        #[source]
        source: serde_json::Error,
    },
}

impl ApplyError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.is_conflict() => "ApiConflict",
                kube::Error::Api(status) if status.is_forbidden() => "ApiForbidden",
                kube::Error::Api(status) if status.is_not_found() => "ApiNotFound",
                kube::Error::Api(_) => "ApiRefused",
                _ => "ApiUnavailable",
            },
            Self::Serialise { .. } => "SerialisationFailed",
        }
    }

    /// Whether the API server has understood and says no, so that the same request will not succeed
    /// later.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => {
                    (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429)
                        // What etcd says, with code 500, about an object of more than its limit.
                        || status.message.contains("request is too large")
                }
                _ => false,
            },
            Self::Serialise { .. } => true,
        }
    }

    /// Whether the object had been changed by someone else in between: the next event brings the
    /// new one.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.kind() == "ApiConflict"
    }

    /// Whether the object is gone.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == "ApiNotFound"
    }
}

/// A field manager: who owns the fields that are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manager(pub &'static str);

/// Whether something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The live object already said so.
    Unchanged,
    /// The API server was asked to change it.
    Changed,
}

/// How much of the status one controller owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owns {
    /// All of it: a field that is not desired is removed.
    All,
    /// The fields that are given; others belong to someone else and stay.
    Given,
}

/// Applies `status` to `live`, unless it has it already.
///
/// # Errors
/// When the request fails; an object that was deleted or re-created in between is such a failure.
pub(crate) async fn status<K, S>(
    api: &Api<K>,
    live: &K,
    status: &S,
    owns: Owns,
    manager: Manager,
) -> Result<Written, ApplyError>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
    S: Serialize,
{
    let desired = value(live, status)?;
    let whole = value(live, live)?;
    let current = whole.get("status").unwrap_or(&Value::Null);
    let same = match owns {
        Owns::All => equal(current, &desired),
        Owns::Given => contains(current, &desired),
    };
    if same {
        return Ok(Written::Unchanged);
    }
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid makes a re-created object of the same name a conflict.
        "metadata": { "name": live.name_any(), "uid": live.uid() },
        "status": desired,
    });
    api.patch_status(
        &live.name_any(),
        &PatchParams::apply(manager.0).force(),
        &Patch::Apply(&patch),
    )
    .await
    .map_err(|source| request("apply the status of", live, source))?;
    Ok(Written::Changed)
}

/// Applies an object, unless `live` already holds everything that `desired` says. Fields that
/// `desired` does not mention are left to their owners and to the server's defaults.
///
/// # Errors
/// When the request fails.
pub(crate) async fn object<K>(
    api: &Api<K>,
    live: Option<&K>,
    desired: &K,
    manager: Manager,
) -> Result<Written, ApplyError>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let mut wanted = value(desired, desired)?;
    if let Some(map) = wanted.as_object_mut() {
        map.insert(
            "apiVersion".to_owned(),
            Value::String(K::api_version(&()).into_owned()),
        );
        map.insert("kind".to_owned(), Value::String(K::kind(&()).into_owned()));
        map.remove("status");
    }
    if let Some(live) = live {
        let mut current = value(live, live)?;
        if let Some(map) = current.as_object_mut() {
            map.insert(
                "apiVersion".to_owned(),
                Value::String(K::api_version(&()).into_owned()),
            );
            map.insert("kind".to_owned(), Value::String(K::kind(&()).into_owned()));
        }
        if contains(&current, &wanted) {
            return Ok(Written::Unchanged);
        }
    }
    api.patch(
        &desired.name_any(),
        &PatchParams::apply(manager.0).force(),
        &Patch::Apply(&wanted),
    )
    .await
    .map_err(|source| request("apply", desired, source))?;
    Ok(Written::Changed)
}

/// Creates an object, or returns the one that has its name already: the caller says whose that may
/// be.
///
/// # Errors
/// When the request fails.
pub(crate) async fn create<K>(api: &Api<K>, desired: &K, manager: Manager) -> Result<K, ApplyError>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let params = PostParams {
        field_manager: Some(manager.0.to_owned()),
        ..PostParams::default()
    };
    match api.create(&params, desired).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(refused)) if refused.is_already_exists() => api
            .get(&desired.name_any())
            .await
            .map_err(|source| request("get", desired, source)),
        Err(source) => Err(request("create", desired, source)),
    }
}

/// Reads an object from the API server; none when it does not exist.
///
/// # Errors
/// When the request fails.
pub(crate) async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, ApplyError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    api.get_opt(name)
        .await
        .map_err(|source| ApplyError::Request {
            verb: "get",
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        })
}

/// Deletes exactly this object (its uid is a precondition) in the background; one that is gone
/// counts as deleted.
///
/// # Errors
/// When the request fails.
pub(crate) async fn delete<K>(api: &Api<K>, live: &K) -> Result<Written, ApplyError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    if live.meta().deletion_timestamp.is_some() {
        return Ok(Written::Unchanged);
    }
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: live.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&live.name_any(), &params).await {
        Ok(_) => Ok(Written::Changed),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            Ok(Written::Unchanged)
        }
        Err(source) => Err(request("delete", live, source)),
    }
}

/// What the API client says, in words for a person: its own way to print a refusal ends in the
/// fields of a Rust struct.
#[must_use]
pub(crate) fn spoken(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => {
            format!("the API server answered {} {}", status.code, status.reason)
                .trim_end()
                .to_owned()
        }
        error => error.to_string(),
    }
}

pub(crate) fn request<K: Resource<DynamicType = ()>>(
    verb: &'static str,
    object: &K,
    source: kube::Error,
) -> ApplyError {
    ApplyError::Request {
        verb,
        kind: K::kind(&()).into_owned(),
        name: full_name(object),
        source: Box::new(source),
    }
}

fn full_name<K: Resource>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

fn value<K: Resource<DynamicType = ()>, S: Serialize>(
    object: &K,
    content: &S,
) -> Result<Value, ApplyError> {
    serde_json::to_value(content).map_err(|source| ApplyError::Serialise {
        kind: K::kind(&()).into_owned(),
        name: full_name(object),
        source,
    })
}

/// Equality that takes an absent value, `null` and an empty map or list for the same.
fn equal(current: &Value, desired: &Value) -> bool {
    match (current, desired) {
        (Value::Object(current), Value::Object(desired)) => {
            current
                .iter()
                .all(|(key, value)| equal(value, desired.get(key).unwrap_or(&Value::Null)))
                && desired
                    .iter()
                    .all(|(key, value)| current.contains_key(key) || is_empty(value))
        }
        (Value::Array(current), Value::Array(desired)) => {
            current.len() == desired.len() && current.iter().zip(desired).all(|(a, b)| equal(a, b))
        }
        _ => current == desired || (is_empty(current) && is_empty(desired)),
    }
}

/// Whether everything that `desired` says is in `current`, which may say more.
fn contains(current: &Value, desired: &Value) -> bool {
    match (current, desired) {
        (Value::Object(current), Value::Object(desired)) => desired.iter().all(|(key, value)| {
            let current = current.get(key).unwrap_or(&Value::Null);
            if key == "conditions" {
                holds(current, value)
            } else {
                contains(current, value)
            }
        }),
        (Value::Array(current), Value::Array(desired)) => {
            current.len() == desired.len()
                && current.iter().zip(desired).all(|(a, b)| contains(a, b))
        }
        _ => current == desired || (is_empty(current) && is_empty(desired)),
    }
}

/// Conditions are a list by type: the others may belong to someone else.
fn holds(current: &Value, desired: &Value) -> bool {
    let (Value::Array(current), Value::Array(desired)) = (current, desired) else {
        return contains(current, desired);
    };
    desired.iter().all(|wanted| {
        current
            .iter()
            .any(|found| found.get("type") == wanted.get("type") && contains(found, wanted))
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
