//! The ServiceAccount of a pod: whether its token is mounted, and the tokens themselves.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, Pod, ServiceAccount, Volume};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use std::collections::btree_map::Entry;

use super::files::Tokens;
use super::trouble::Trouble;
use crate::refused::spoken;
use crate::supervisor::{FileEntry, Mount, MountSource, SecretBytes};

/// Where programs in a cluster look for their identity.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Files of a running container are not renewed, so a token has to last as long as any task may reasonably take.
/// It is bound to the pod and worthless as soon as that is gone.
const LIFETIME_SECONDS: i64 = 24 * 3600;

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

    /// The mount of the account's own token, if the container is to have one and has none of its own.
    pub(crate) async fn own_mount(
        &self,
        container: &Container,
        ca_pem: &str,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<Mount>, Trouble> {
        let mut mounts = container.volume_mounts.iter().flatten();
        if mounts.any(|mount| mount.mount_path.trim_end_matches('/') == MOUNT_PATH)
            || !self.wants_token().await?
        {
            return Ok(None);
        }
        let token = self.token("", None).await?;
        let file = |path: &str, data: SecretBytes| FileEntry {
            path: path.to_owned(),
            mode: 0o644,
            data,
        };
        let entries = vec![
            FileEntry {
                mode: if owner.is_some() { 0o600 } else { 0o644 },
                ..file("token", token)
            },
            file("ca.crt", ca_pem.into()),
            file("namespace", self.namespace.as_str().into()),
        ];
        let source = MountSource::Files {
            entries,
            sub_path: None,
            owner,
        };
        Ok(Some(Mount {
            target: MOUNT_PATH.into(),
            source,
            read_only: true,
        }))
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
        for (audience, seconds) in wanted_tokens(volumes) {
            if let Entry::Vacant(entry) = tokens.entry(audience) {
                let token = self.token(entry.key(), seconds).await?;
                entry.insert(token);
            }
        }
        Ok(tokens)
    }

    async fn token(&self, audience: &str, seconds: Option<i64>) -> Result<SecretBytes, Trouble> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: if audience.is_empty() {
                    Vec::new()
                } else {
                    vec![audience.to_owned()]
                },
                expiration_seconds: Some(seconds.unwrap_or_default().max(LIFETIME_SECONDS)),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(self.pod.name_any()),
                    uid: self.pod.uid(),
                }),
            },
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let answer = api
            .create_token_request(&self.name, &PostParams::default(), &request)
            .await
            .map_err(|error| self.trouble("get a token of", &error))?;
        let status = answer
            .status
            .ok_or_else(|| Trouble::config("the API server issued no token"))?;
        Ok(status.token.into())
    }

    fn trouble(&self, what: &str, error: &kube::Error) -> Trouble {
        Trouble::config(format!(
            "failed to {what} serviceaccount {:?}: {}",
            self.name,
            spoken(error)
        ))
    }
}

/// Audience and lifetime of the tokens that projected volumes ask for.
fn wanted_tokens(volumes: &[&Volume]) -> Vec<(String, Option<i64>)> {
    let sources = volumes
        .iter()
        .filter_map(|volume| volume.projected.as_ref()?.sources.as_ref())
        .flatten();
    let tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    tokens
        .map(|token| {
            (
                token.audience.clone().unwrap_or_default(),
                token.expiration_seconds,
            )
        })
        .collect()
}
