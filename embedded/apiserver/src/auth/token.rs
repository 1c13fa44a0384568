//! Bearer tokens: the random admin token, and signed tokens (JWT, ES256) of ServiceAccounts.
//!
//! Invariant: a ServiceAccount token is good only as long as it has not expired and the
//! ServiceAccount (and the pod, if it is bound to one) exists with the same UID.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::user::{User, service_account_user_name};
use crate::data_dir::{DataDirError, read_or_create};
use crate::store::{GroupResource, Key, Store};

/// The audience of the API server, and the issuer of its tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// How long a token is taken after its end, as in Kubernetes: clocks are set.
const LEEWAY_SECONDS: i64 = 60;
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// What can go wrong with tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file of the directory `pki` could not be read or written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The signing key is damaged, or signing failed.
    #[error(
        "failed to {0} with pki/service-account.key; if the file is damaged, remove it, tokens are then issued anew"
    )]
    Key(&'static str),
    /// The ServiceAccount a token is wanted for does not exist.
    #[error("failed to issue a token: ServiceAccount {namespace}/{name} does not exist")]
    NoServiceAccount {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

impl TokenError {
    /// A stable word for the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DataDir(error) => error.kind(),
            Self::Key(_) => "TokenKey",
            Self::NoServiceAccount { .. } => "NoServiceAccount",
        }
    }
}

/// An object that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) name: String,
    pub(crate) uid: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
    nbf: i64,
    sub: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kubernetes {
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Bound>,
    serviceaccount: Bound,
}

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    admin: Zeroizing<String>,
    admin_digest: [u8; 32],
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Tokens {
    /// Reads or makes the admin token and the signing key in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self, TokenError> {
        let admin = read_or_create(dir, "admin.token", || {
            Ok::<_, TokenError>(Zeroizing::new(
                URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()),
            ))
        })?;
        let random = SystemRandom::new();
        let pkcs8 = read_or_create(dir, "service-account.key", || {
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map_err(|_| TokenError::Key("make a key"))?;
            Ok::<_, TokenError>(Zeroizing::new(URL_SAFE_NO_PAD.encode(document.as_ref())))
        })?;
        let der = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(pkcs8.trim())
                .map_err(|_| TokenError::Key("decode a key"))?,
        );
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random)
            .map_err(|_| TokenError::Key("read a key"))?;
        Ok(Self {
            admin_digest: Sha256::digest(admin.trim().as_bytes()).into(),
            admin,
            key,
            random,
        })
    }

    /// The admin token.
    pub(crate) fn admin(&self) -> Zeroizing<String> {
        Zeroizing::new(self.admin.trim().to_owned())
    }

    /// A token of the ServiceAccount `namespace`/`name`, good for `seconds`, and when it ends.
    pub(crate) fn issue(
        &self,
        store: &Store,
        namespace: &str,
        name: &str,
        request: &TokenRequest,
        now: Timestamp,
    ) -> Result<(Zeroizing<String>, Timestamp), TokenError> {
        let key = Key::new(&service_accounts(), namespace, name);
        let account = store
            .get(&key)
            .ok_or_else(|| TokenError::NoServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })?;
        let seconds = now.as_second();
        let expires = seconds.saturating_add(request.seconds);
        let claims = Claims {
            aud: if request.audiences.is_empty() {
                vec![ISSUER.to_owned()]
            } else {
                request.audiences.clone()
            },
            exp: expires,
            iat: seconds,
            iss: ISSUER.to_owned(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: Kubernetes {
                namespace: namespace.to_owned(),
                pod: request.pod.clone(),
                serviceaccount: Bound {
                    name: name.to_owned(),
                    uid: account.uid.to_string(),
                },
            },
            nbf: seconds,
            sub: service_account_user_name(namespace, name),
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| TokenError::Key("encode claims"))?;
        let header = br#"{"alg":"ES256","typ":"JWT"}"#;
        let mut token = Zeroizing::new(format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        ));
        let signature = self
            .key
            .sign(&self.random, token.as_bytes())
            .map_err(|_| TokenError::Key("sign a token"))?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let ends = Timestamp::from_second(expires).unwrap_or(Timestamp::MAX);
        Ok((token, ends))
    }

    /// The user that a token stands for, `None` when it is not good for any of `audiences`.
    pub(crate) fn authenticate(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Option<User> {
        // Comparing digests takes the same time however many leading bytes agree.
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if digest == self.admin_digest {
            return Some(User::admin());
        }
        let claims = self.verify(token, now)?;
        let wanted = |audience: &String| {
            audiences.contains(audience) || (audiences.is_empty() && audience == ISSUER)
        };
        if !claims.aud.iter().any(wanted) {
            return None;
        }
        let Kubernetes {
            namespace,
            pod,
            serviceaccount,
        } = claims.kubernetes;
        let account = Key::new(&service_accounts(), &namespace, &serviceaccount.name);
        if *store.get(&account)?.uid != *serviceaccount.uid {
            return None;
        }
        let mut user = User::service_account(&namespace, &serviceaccount.name, &serviceaccount.uid);
        if let Some(pod) = pod {
            let key = Key::new(&GroupResource::new("", "pods"), &namespace, &pod.name);
            if *store.get(&key)?.uid != *pod.uid {
                return None;
            }
            user.extra = vec![
                (POD_NAME.to_owned(), vec![pod.name]),
                (POD_UID.to_owned(), vec![pod.uid]),
            ];
        }
        Some(user)
    }

    fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1)?).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        // When it begins is not looked at: what we have signed we have issued, and a beginning that
        // lies ahead only says that the clock was put back since.
        (claims.iss == ISSUER && now.as_second() < claims.exp.saturating_add(LEEWAY_SECONDS))
            .then_some(claims)
    }
}

/// What a token is wanted for.
#[derive(Debug, Clone)]
pub(crate) struct TokenRequest {
    /// Empty: the API server.
    pub(crate) audiences: Vec<String>,
    pub(crate) seconds: i64,
    pub(crate) pod: Option<Bound>,
}

fn service_accounts() -> GroupResource {
    GroupResource::new("", "serviceaccounts")
}
