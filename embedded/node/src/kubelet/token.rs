//! The ServiceAccount of a pod: whether its token is mounted, and the tokens themselves.

use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    Container, Pod, ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::files::Tokens;
use super::renewal::{LiveDir, TokenFile};
use super::trouble::Trouble;
use crate::NodeConfig;
use crate::refused::spoken;
use crate::supervisor::{FileEntry, Mount, MountSource, SecretBytes};

/// Where programs in a cluster look for their identity.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The life of a token whose projection names none, and the shortest there is.
const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
/// The life of a token in files that cannot change.
const IN_MEMORY_SECONDS: i64 = 24 * 3600;

/// Which token is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Empty: the API server's.
    pub(crate) audience: String,
    pub(crate) seconds: i64,
}

/// A token and its life. It is bound to the pod and worthless as soon as that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) token: SecretBytes,
    pub(crate) at: Timestamp,
    pub(crate) ends: Timestamp,
}

/// The account of a pod.
pub(crate) struct Account<'a> {
    client: &'a Client,
    pod: &'a Pod,
    namespace: String,
    name: String,
}

impl<'a> Account<'a> {
    /// The account that a pod runs as.
    pub(crate) fn of(client: &'a Client, pod: &'a Pod) -> Self {
        let name = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.clone());
        Self {
            client,
            pod,
            namespace: pod.namespace().unwrap_or_default(),
            name: name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "default".to_owned()),
        }
    }

    /// The mount of the account's own token in `dir`, if the container is to have one and has none
    /// of its own.
    pub(crate) async fn own_mount(
        &self,
        container: &Container,
        config: &NodeConfig,
        dir: PathBuf,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<(Mount, TokenFile)>, Trouble> {
        let mut mounts = container.volume_mounts.iter().flatten();
        if mounts.any(|mount| mount.mount_path.trim_end_matches('/') == MOUNT_PATH)
            || !self.wants_token().await?
        {
            return Ok(None);
        }
        let request = Request {
            audience: String::new(),
            seconds: config.token_seconds,
        };
        let issued = self.issue(&request).await?;
        let file = |path: &str, data: SecretBytes| FileEntry {
            path: path.to_owned(),
            mode: 0o644,
            data,
        };
        let mode = if owner.is_some() { 0o600 } else { 0o644 };
        let entries = [
            FileEntry {
                mode,
                ..file("token", issued.token.clone())
            },
            file("ca.crt", config.ca_pem.as_str().into()),
            file("namespace", self.namespace.as_str().into()),
        ];
        let dir = Arc::new(LiveDir::create(dir, &entries, owner)?);
        let mount = Mount {
            target: MOUNT_PATH.into(),
            source: MountSource::Path(dir.path().to_owned()),
            read_only: true,
        };
        let token = TokenFile {
            dir,
            path: "token".to_owned(),
            mode,
            request,
            issued,
        };
        Ok(Some((mount, token)))
    }

    async fn wants_token(&self) -> Result<bool, Trouble> {
        if let Some(wanted) = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.automount_service_account_token)
        {
            return Ok(wanted);
        }
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let account = api
            .get_opt(&self.name)
            .await
            .map_err(|error| self.trouble("read", &error))?;
        let account = account
            .ok_or_else(|| Trouble::config(format!("serviceaccount {:?} not found", self.name)))?;
        Ok(account.automount_service_account_token.unwrap_or(true))
    }

    /// The tokens that projected volumes ask for.
    pub(crate) async fn tokens(&self, volumes: &[&Volume]) -> Result<Tokens, Trouble> {
        let mut tokens = Tokens::new();
        for request in wanted(volumes) {
            if let Entry::Vacant(entry) = tokens.entry(request.audience.clone()) {
                entry.insert(self.issue(&request).await?);
            }
        }
        Ok(tokens)
    }

    /// Has a token issued.
    pub(crate) async fn issue(&self, wanted: &Request) -> Result<Issued, Trouble> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!wanted.audience.is_empty()).then(|| vec![wanted.audience.clone()]),
                expiration_seconds: Some(wanted.seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(self.pod.name_any()),
                    uid: self.pod.uid(),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let at = Timestamp::now();
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let answer = api
            .create_token_request(&self.name, &PostParams::default(), &request)
            .await
            .map_err(|error| self.trouble("get a token of", &error))?;
        let status = answer.status.unwrap_or_default();
        let (Some(token), Some(ends)) = (status.token, status.expiration_timestamp) else {
            return Err(Trouble::config("the API server issued no token"));
        };
        Ok(Issued {
            token: token.into(),
            at,
            ends: ends.0,
        })
    }

    fn trouble(&self, what: &str, error: &kube::Error) -> Trouble {
        Trouble::config(format!(
            "failed to {what} serviceaccount {:?}: {}",
            self.name,
            spoken(error)
        ))
    }
}

/// The tokens that volumes ask for.
fn wanted(volumes: &[&Volume]) -> Vec<Request> {
    let mut wanted = Vec::new();
    for volume in volumes {
        for projection in projections(volume) {
            let mut request = request(projection);
            if is_in_memory(volume) {
                request.seconds = request.seconds.max(IN_MEMORY_SECONDS);
            }
            wanted.push(request);
        }
    }
    wanted
}

/// Whether a volume with tokens holds Secrets too: those never touch the disk, so its files are
/// made in memory and cannot change, and its tokens have to last as long as any task may reasonably
/// take.
pub(crate) fn is_in_memory(volume: &Volume) -> bool {
    let sources = volume
        .projected
        .iter()
        .flat_map(|projected| &projected.sources);
    sources.flatten().any(|source| source.secret.is_some())
}

/// The tokens that a volume projects.
pub(crate) fn projections(volume: &Volume) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let sources = volume
        .projected
        .iter()
        .flat_map(|projected| &projected.sources);
    sources
        .flatten()
        .filter_map(|source| source.service_account_token.as_ref())
}

/// What a projection asks for.
pub(crate) fn request(projection: &ServiceAccountTokenProjection) -> Request {
    Request {
        audience: projection.audience.clone().unwrap_or_default(),
        seconds: projection
            .expiration_seconds
            .unwrap_or(DEFAULT_SECONDS)
            .max(MIN_SECONDS),
    }
}
