//! Random passwords, and the basic-auth Secrets that hold them.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use kubestash_api::labels as api_labels;
use rand::RngExt;
use rand::distr::Alphanumeric;
use zeroize::Zeroizing;

use crate::{KubedbError, apply, labels};

/// Letters and digits of a password.
const LENGTH: usize = 16;

/// User name and password of a server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Where the credentials of a database are to be.
pub(crate) struct Wanted<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) username: &'a str,
    pub(crate) labels: BTreeMap<String, String>,
    /// `None` if the Secret has to outlive the database.
    pub(crate) owner: Option<OwnerReference>,
    /// Whether a missing one is made.
    pub(crate) may_be_made: bool,
}

/// Returns the credentials of an existing Secret, or makes one with a random password.
pub(crate) async fn ensure(
    client: &kube::Client,
    wanted: Wanted<'_>,
) -> Result<Credentials, KubedbError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), wanted.namespace);
    let action = format!("read Secret {}/{}", wanted.namespace, wanted.name);
    if let Some(secret) = api
        .get_opt(wanted.name)
        .await
        .map_err(KubedbError::api(action))?
    {
        return read(&secret, wanted.namespace, wanted.name);
    }
    if !wanted.may_be_made {
        return Err(KubedbError::Secret {
            namespace: wanted.namespace.to_owned(),
            name: wanted.name.to_owned(),
        });
    }
    let password = password();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(wanted.name.to_owned()),
            namespace: Some(wanted.namespace.to_owned()),
            labels: Some(wanted.labels),
            owner_references: wanted.owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/basic-auth".to_owned()),
        data: Some(
            [
                (
                    "username".to_owned(),
                    ByteString(wanted.username.as_bytes().to_vec()),
                ),
                (
                    "password".to_owned(),
                    ByteString(password.as_bytes().to_vec()),
                ),
            ]
            .into(),
        ),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(Credentials {
            username: wanted.username.to_owned(),
            password,
        }),
        // Somebody was quicker: theirs counts, on the next try.
        Err(error) => Err(KubedbError::api(format!(
            "create Secret {}/{}",
            wanted.namespace, wanted.name
        ))(error)),
    }
}

/// Deletes a Secret that was made for a database of this kind; one that users made, or that a
/// database of another kind uses, stays.
pub(crate) async fn remove(
    client: &kube::Client,
    namespace: &str,
    name: &str,
    resource: &str,
) -> Result<(), KubedbError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let action = format!("read Secret {namespace}/{name}");
    let found = api.get_opt(name).await.map_err(KubedbError::api(action))?;
    let ours = labels::of(resource, "");
    let is_ours = |secret: &Secret| {
        [api_labels::MANAGED_BY, api_labels::NAME]
            .iter()
            .all(|key| secret.labels().get(*key) == ours.get(*key))
    };
    if found.is_some_and(|secret| is_ours(&secret)) {
        apply::delete::<Secret>(client, namespace, name).await?;
    }
    Ok(())
}

/// Reads `username` and `password`.
pub(crate) fn read(
    secret: &Secret,
    namespace: &str,
    name: &str,
) -> Result<Credentials, KubedbError> {
    let value = |key: &str| {
        let bytes = &secret.data.as_ref()?.get(key)?.0;
        std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.is_empty())
            .map(ToOwned::to_owned)
    };
    match (value("username"), value("password")) {
        (Some(username), Some(password)) => Ok(Credentials {
            username,
            password: Zeroizing::new(password),
        }),
        _ => Err(KubedbError::Secret {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
    }
}

/// Sixteen random letters and digits, with one of each class at least.
fn password() -> Zeroizing<String> {
    loop {
        let text: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(LENGTH)
            .map(char::from)
            .collect();
        let text = Zeroizing::new(text);
        let has = |test: fn(&char) -> bool| text.chars().any(|c| test(&c));
        if has(char::is_ascii_lowercase)
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_digit)
        {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_have_every_class() {
        let (one, two) = (password(), password());
        assert_ne!(*one, *two);
        assert_eq!(one.len(), LENGTH);
        assert!(
            one.chars().any(|c| c.is_ascii_digit()) && one.chars().any(|c| c.is_ascii_uppercase())
        );
    }

    #[test]
    fn credentials_never_show_their_password() {
        let credentials = Credentials {
            username: "root".into(),
            password: Zeroizing::new("hunter2".into()),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
