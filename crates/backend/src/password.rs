//! The password that encrypts the backups.

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kubestash_engine::Secret;

use crate::BackendError;

/// Key of the encryption Secret that holds the password.
pub const ENCRYPTION_KEY: &str = "RESTIC_PASSWORD";

/// Reads the password from an encryption Secret; `secret` is `None` if there is no such object.
///
/// The bytes are taken as they are: a line feed at the end is part of the password, as it is for
/// restic's environment variable.
///
/// # Errors
/// If the Secret, its key or a value is missing; the error names the Secret and the key, never the
/// value.
pub fn encryption_password(
    namespace: &str,
    name: &str,
    secret: Option<&KubeSecret>,
) -> Result<Secret, BackendError> {
    let error = |reason| BackendError::Encryption {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        reason,
    };
    let secret = secret.ok_or_else(|| {
        error("it does not exist; create it with the key RESTIC_PASSWORD, and keep a copy: without it no backup can be read")
    })?;
    let value = secret
        .data
        .as_ref()
        .and_then(|data| data.get(ENCRYPTION_KEY))
        .ok_or_else(|| error("it has no key RESTIC_PASSWORD; add it"))?;
    if value.0.is_empty() {
        return Err(error("its key RESTIC_PASSWORD is empty; give it a value"));
    }
    Ok(Secret::new(value.0.clone()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_missing_secret_key_or_value_is_named_and_a_password_never_shown() {
        let secret = |data: &[(&str, &str)]| KubeSecret {
            data: Some(
                data.iter()
                    .map(|(k, v)| ((*k).to_owned(), ByteString((*v).into())))
                    .collect(),
            ),
            ..KubeSecret::default()
        };
        for (given, word) in [
            (None, "does not exist"),
            (Some(KubeSecret::default()), "no key RESTIC_PASSWORD"),
            (Some(secret(&[("PASSWORD", "x")])), "no key RESTIC_PASSWORD"),
            (Some(secret(&[("RESTIC_PASSWORD", "")])), "empty"),
        ] {
            let error = encryption_password("demo", "encrypt-secret", given.as_ref()).unwrap_err();
            assert_eq!(error.kind(), "EncryptionSecretInvalid");
            assert!(
                error.to_string().contains(word)
                    && error.to_string().contains("demo/encrypt-secret"),
                "{error}"
            );
        }
        let password = encryption_password(
            "demo",
            "s",
            Some(&secret(&[("RESTIC_PASSWORD", "changeit")])),
        )
        .unwrap();
        assert_eq!(password.expose(), b"changeit");
        assert!(!format!("{password:?}").contains("changeit"));
    }
}
