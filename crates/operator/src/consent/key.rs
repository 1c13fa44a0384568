//! The key that grants are signed with: a Secret in the operator's own namespace, made at the first
//! start.
//!
//! Whoever can read that Secret can grant himself everything, so nobody but the operator should.
//! When it is deleted all grants end; objects are granted again as `docs/security.md` says.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use kubestash_api::labels;
use ring::rand::{SecureRandom, SystemRandom};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Key;

/// Name of the Secret.
pub(crate) const SECRET: &str = "kubestash-grant-key";
const ENTRY: &str = "key";
const LENGTH: usize = 32;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The API server refuses.
    #[error(
        "failed to read or create Secret {namespace}/{SECRET}: the operator needs get and create on Secrets there"
    )]
    Refused {
        /// The operator's namespace.
        namespace: String,
        /// What the API client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// The Secret holds something else.
    #[error(
        "failed to use Secret {0}/{SECRET}: its entry {ENTRY:?} has less than {LENGTH} bytes; delete the Secret, and a new one is created"
    )]
    Unusable(String),
    /// The system gives no random bytes.
    #[error("failed to create a key: the system gives no random bytes")]
    Random,
}

impl KeyError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "GrantKeyRefused",
            Self::Unusable(_) => "GrantKeyUnusable",
            Self::Random => "NoRandomBytes",
        }
    }
}

/// Reads the key, or makes it; none if the operator is told to stop before the API server answers.
///
/// # Errors
/// When the API server refuses, or the Secret cannot be used.
pub(crate) async fn load(
    client: &Client,
    namespace: &str,
    shutdown: &CancellationToken,
) -> Result<Option<Key>, KeyError> {
    loop {
        match attempt(client, namespace).await {
            Ok(key) => return Ok(Some(key)),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Again(error)) => {
                tracing::warn!(%error, "failed to read the key of grants, trying again");
                let pause = tokio::time::sleep(TRY_AGAIN);
                if shutdown.run_until_cancelled(pause).await.is_none() {
                    return Ok(None);
                }
            }
        }
    }
}

enum Failure {
    Final(KeyError),
    /// The API server does not answer yet.
    Again(kube::Error),
}

async fn attempt(client: &Client, namespace: &str) -> Result<Key, Failure> {
    let failed = |source: kube::Error| match source {
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            Failure::Final(KeyError::Refused {
                namespace: namespace.to_owned(),
                source: Box::new(kube::Error::Api(status)),
            })
        }
        other => Failure::Again(other),
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if let Some(found) = api.get_opt(SECRET).await.map_err(failed)? {
        return usable(found, namespace).map_err(Failure::Final);
    }
    let fresh = secret().map_err(Failure::Final)?;
    let made = match api.create(&PostParams::default(), &fresh).await {
        // On a single machine nobody has made it before.
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            make_namespace(client, namespace).await.map_err(failed)?;
            api.create(&PostParams::default(), &fresh).await
        }
        other => other,
    };
    match made {
        Ok(made) => usable(made, namespace).map_err(Failure::Final),
        // Another replica was faster; its key is everybody's.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = api.get(SECRET).await.map_err(failed)?;
            usable(found, namespace).map_err(Failure::Final)
        }
        Err(error) => Err(failed(error)),
    }
}

async fn make_namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(client.clone());
    match api.create(&PostParams::default(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(|_| ()),
    }
}

fn secret() -> Result<Secret, KeyError> {
    let mut bytes = vec![0; LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| KeyError::Random)?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some(
                [(
                    labels::MANAGED_BY.to_owned(),
                    labels::MANAGED_BY_KUBESTASH.to_owned(),
                )]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        data: Some([(ENTRY.to_owned(), ByteString(bytes))].into()),
        ..Secret::default()
    })
}

fn usable(secret: Secret, namespace: &str) -> Result<Key, KeyError> {
    let bytes = secret.data.and_then(|mut data| data.remove(ENTRY));
    let bytes = Zeroizing::new(bytes.unwrap_or_default().0);
    if bytes.len() < LENGTH {
        return Err(KeyError::Unusable(namespace.to_owned()));
    }
    Ok(Key::new(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_anybody_could_guess_is_refused() {
        for (length, good) in [(0, false), (31, false), (32, true)] {
            let mut made = secret().unwrap();
            made.data = Some([(ENTRY.to_owned(), ByteString(vec![7; length]))].into());
            assert_eq!(usable(made, "kubestash").is_ok(), good, "{length} bytes");
        }
        assert!(usable(Secret::default(), "kubestash").is_err());
        assert_ne!(secret().unwrap().data, secret().unwrap().data);
    }
}
