//! The Kubernetes API as the executor uses it: each request is tried for a while, and a failure
//! names verb, resource and object.
//!
//! Freshly made Roles reach an API server's authorizer a moment late, and an API server may be away
//! for a moment; neither must cost a backup that took hours.

mod dynamic;

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

pub use dynamic::Created;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Field manager of everything the executor writes.
pub const FIELD_MANAGER: &str = "kubestash-executor";

/// How long a request is tried again when the API server is away.
const AWAY: Duration = Duration::from_secs(120);
/// How long it is tried again when it is forbidden.
const FORBIDDEN: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A request that failed for good.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// We may not do that.
    #[error(
        "failed to {verb} {what}: forbidden; allow the verb {verb} on {resource} in namespace {namespace} to the Job's ServiceAccount, or name another one in addon.jobTemplate.spec.serviceAccountName ({said})"
    )]
    Forbidden {
        /// The verb, as RBAC spells it.
        verb: &'static str,
        /// Resource and object: `snapshots demo/x`.
        what: String,
        /// The resource with its group, as RBAC spells it.
        resource: String,
        /// The namespace.
        namespace: String,
        /// What the API server said.
        said: String,
    },
    /// Nothing can be made in the namespace.
    #[error(
        "failed to create {what}: namespace {namespace} {state}; create it, or name another one"
    )]
    Namespace {
        /// Resource and object.
        what: String,
        /// The namespace.
        namespace: String,
        /// What is the matter with it.
        state: &'static str,
    },
    /// There is no such object.
    #[error("failed to {verb} {what}: it does not exist{}", hint(.needed_for))]
    Missing {
        /// The verb.
        verb: &'static str,
        /// Resource and object.
        what: String,
        /// Which object and field name it; empty if that is clear.
        needed_for: String,
    },
    /// Anything else.
    #[error("failed to {verb} {what}")]
    Request {
        /// The verb.
        verb: &'static str,
        /// Resource and object.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

fn hint(needed_for: &str) -> String {
    if needed_for.is_empty() {
        String::new()
    } else {
        format!("; {needed_for} names it")
    }
}

impl ClusterError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "ApiForbidden",
            Self::Missing { .. } => "ApiNotFound",
            Self::Namespace { .. } => "NamespaceMissing",
            Self::Request { .. } => "ApiFailed",
        }
    }

    /// Whether the object is not there, or not the one that was meant.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Request { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if status.is_conflict())
            }
            Self::Forbidden { .. } | Self::Namespace { .. } => false,
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Namespace { .. })
    }
}

/// Kinds of objects that lie in namespaces.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// The API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Works through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Reads an object; none if there is no such.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn find<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, ClusterError> {
        let api = self.api::<K>(namespace);
        request::<K, _, _>("get", namespace, name, || api.get_opt(name)).await
    }

    /// Reads an object that has to exist. `needed_for` says which field of which object names it.
    ///
    /// # Errors
    /// If it does not exist, or the API server refuses or stays away.
    pub async fn get<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        needed_for: &str,
    ) -> Result<K, ClusterError> {
        self.find(namespace, name)
            .await?
            .ok_or_else(|| ClusterError::Missing {
                verb: "get",
                what: Noun::of::<K>().what(namespace, name),
                needed_for: needed_for.to_owned(),
            })
    }

    /// Lists all objects of a namespace.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn all<K: Kind>(&self, namespace: &str) -> Result<Vec<K>, ClusterError> {
        let (api, params) = (self.api::<K>(namespace), ListParams::default());
        Ok(
            request::<K, _, _>("list", namespace, "", || api.list(&params))
                .await?
                .items,
        )
    }

    /// Lists the objects with a label.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn list<K: Kind>(
        &self,
        namespace: &str,
        label: &str,
        value: &str,
    ) -> Result<Vec<K>, ClusterError> {
        let api = self.api::<K>(namespace);
        let params = ListParams::default().labels(&format!("{label}={value}"));
        Ok(
            request::<K, _, _>("list", namespace, "", || api.list(&params))
                .await?
                .items,
        )
    }

    /// Applies a status by server-side apply and returns the object as it is then. What this
    /// manager applied before and leaves out now is removed.
    ///
    /// # Errors
    /// If the API server refuses or stays away, also when the object was replaced in between.
    pub async fn apply_status<K: Kind>(
        &self,
        object: &K,
        status: &impl Serialize,
    ) -> Result<K, ClusterError> {
        self.apply_status_as(object, status, FIELD_MANAGER).await
    }

    /// The same as another manager, which leaves alone what we say otherwise.
    ///
    /// # Errors
    /// If the API server refuses or stays away, also when the object was replaced in between.
    pub async fn apply_status_as<K: Kind>(
        &self,
        object: &K,
        status: &impl Serialize,
        manager: &'static str,
    ) -> Result<K, ClusterError> {
        let (namespace, name) = key(object);
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // The uid makes an object that was made anew under the same name a conflict.
            "metadata": {"name": name, "uid": object.uid()},
            "status": status,
        });
        let api = self.api::<K>(&namespace);
        let params = PatchParams::apply(manager).force();
        let patch = Patch::Apply(patch);
        let send = || api.patch_status(&name, &params, &patch);
        request::<K, _, _>("patch the status of", &namespace, &name, send).await
    }

    /// Merges a patch into an object and returns it as it is then; none if it is gone.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn merge<K: Kind>(
        &self,
        object: &K,
        mut patch: Value,
    ) -> Result<Option<K>, ClusterError> {
        let (namespace, name) = key(object);
        patch["metadata"]["uid"] = json!(object.uid());
        let api = self.api::<K>(&namespace);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        let sent = request::<K, _, _>("patch", &namespace, &name, || {
            api.patch(&name, &params, &patch)
        });
        match sent.await {
            Err(ClusterError::Missing { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Deletes exactly this object; one that is gone is fine.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn delete<K: Kind>(&self, object: &K) -> Result<(), ClusterError> {
        let (namespace, name) = key(object);
        let api = self.api::<K>(&namespace);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let sent = request::<K, _, _>("delete", &namespace, &name, || api.delete(&name, &params));
        match sent.await {
            // Gone, or replaced by another one, which is not meant.
            Err(error) if error.is_gone() => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

fn key<K: Kind>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// How a kind is spelled.
struct Noun<'a> {
    group: Cow<'a, str>,
    kind: Cow<'a, str>,
    plural: Cow<'a, str>,
}

impl Noun<'_> {
    fn of<K: Kind>() -> Self {
        Self {
            group: K::group(&()),
            kind: K::kind(&()),
            plural: K::plural(&()),
        }
    }

    fn what(&self, namespace: &str, name: &str) -> String {
        match name {
            "" => format!("{} in namespace {namespace}", self.plural),
            name => format!("{} {namespace}/{name}", self.kind),
        }
    }
}

async fn request<K: Kind, T, F: Future<Output = Result<T, kube::Error>>>(
    verb: &'static str,
    namespace: &str,
    name: &str,
    send: impl Fn() -> F,
) -> Result<T, ClusterError> {
    send_until(&Noun::of::<K>(), verb, namespace, name, send).await
}

/// Sends a request until it succeeds or there is no hope or time left.
async fn send_until<T, F: Future<Output = Result<T, kube::Error>>>(
    noun: &Noun<'_>,
    verb: &'static str,
    namespace: &str,
    name: &str,
    send: impl Fn() -> F,
) -> Result<T, ClusterError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if started.elapsed() + pause >= patience(&error) {
            return Err(explain(noun, verb, namespace, name, error));
        }
        tracing::debug!(
            "{verb} {}: {error}; trying again",
            noun.what(namespace, name)
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How long a request that failed so is worth repeating.
fn patience(error: &kube::Error) -> Duration {
    match error {
        kube::Error::Api(status) => match status.code {
            403 => FORBIDDEN,
            429 | 500..=599 => AWAY,
            _ => Duration::ZERO,
        },
        kube::Error::HyperError(_) | kube::Error::Service(_) => AWAY,
        _ => Duration::ZERO,
    }
}

fn explain(
    noun: &Noun<'_>,
    verb: &'static str,
    namespace: &str,
    name: &str,
    error: kube::Error,
) -> ClusterError {
    let what = noun.what(namespace, name);
    let namespace = namespace.to_owned();
    match error {
        kube::Error::Api(status)
            if status.is_forbidden() && status.message.contains("being terminated") =>
        {
            let state = "is being deleted";
            ClusterError::Namespace {
                what,
                namespace,
                state,
            }
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            let (verb, subresource) = match verb {
                "patch the status of" => ("patch", "/status"),
                verb => (verb, ""),
            };
            let dot = if noun.group.is_empty() { "" } else { "." };
            ClusterError::Forbidden {
                verb,
                what,
                resource: format!("{}{subresource}{dot}{}", noun.plural, noun.group),
                namespace,
                said: status.message.clone(),
            }
        }
        kube::Error::Api(status) if status.is_not_found() && verb == "create" => {
            let state = "does not exist";
            ClusterError::Namespace {
                what,
                namespace,
                state,
            }
        }
        kube::Error::Api(status) if status.is_not_found() => ClusterError::Missing {
            verb,
            what,
            needed_for: String::new(),
        },
        error => ClusterError::Request {
            verb,
            what,
            source: Box::new(error),
        },
    }
}
