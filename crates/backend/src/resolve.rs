//! From a BackupStorage and its Secret to how the storage is reached. Pure.
//!
//! Which keys a Secret needs is in `docs/compatibility.md`, "Storage Secrets".

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kubestash_api::storage::{
    AzureSpec, BackupStorage, GcsSpec, LocalSpec, Provider as Kind, S3Spec,
};
use kubestash_domain::layout;
use kubestash_engine::storage::{
    Azure, AzureCredentials, Gcs, GcsCredentials, Local, Provider, S3, S3Credentials,
};
use kubestash_engine::{Secret, StorageConfig};

use crate::BackendError;

/// What this process knows about the storages around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `STORAGE_EMULATOR_HOST`: a GCS emulator that stands for Google. No credentials are sent to
    /// it.
    pub storage_emulator_host: Option<String>,
}

impl Environment {
    /// Reads this process's environment; an empty variable counts as not set.
    pub fn from_process() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            storage_emulator_host: set("STORAGE_EMULATOR_HOST"),
        }
    }
}

/// Where the volume of a `local` storage is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalRoot {
    /// Where the pods of kubestash's Jobs mount it: `/<storage>/<mount path>`.
    InPod,
    /// In a directory of this machine's choice.
    At(PathBuf),
}

/// The Secret that a storage takes its credentials from: namespace and name. `None` if it needs
/// none.
pub fn secret_reference(storage: &BackupStorage) -> Option<(String, String)> {
    let namespace = storage.metadata.namespace.clone().unwrap_or_default();
    let name = storage.spec.storage.as_ref()?.secret_name()?;
    Some((namespace, name.to_owned()))
}

/// How a storage is reached; `secret` is the object that [`secret_reference`] names, if it exists.
///
/// # Errors
/// If the specification has a gap, or Secret or key are missing. The error names field and remedy.
pub fn resolve(
    storage: &BackupStorage,
    secret: Option<&KubeSecret>,
    environment: &Environment,
    local_root: &LocalRoot,
) -> Result<StorageConfig, BackendError> {
    let source = Source { storage, secret };
    let backend = storage.spec.storage.as_ref();
    let backend =
        backend.ok_or_else(|| source.invalid("spec.storage is empty; fill it".to_owned()))?;
    let part = |name: &str| {
        source.invalid(format!(
            "no storage backend configured; fill spec.storage.{name}"
        ))
    };
    let kind = backend.known_provider().ok_or_else(|| {
        let given = backend.provider.as_deref().unwrap_or_default();
        source.invalid(format!(
            "unknown provider: {given:?}; spec.storage.provider must be s3, gcs, azure or local"
        ))
    })?;
    match kind {
        Kind::S3 => source.s3(backend.s3.as_ref().ok_or_else(|| part("s3"))?),
        Kind::Gcs => source.gcs(
            backend.gcs.as_ref().ok_or_else(|| part("gcs"))?,
            environment,
        ),
        Kind::Azure => source.azure(backend.azure.as_ref().ok_or_else(|| part("azure"))?),
        Kind::Local => source.local(
            backend.local.as_ref().ok_or_else(|| part("local"))?,
            local_root,
        ),
    }
}

/// A storage and its Secret, while they are read.
struct Source<'a> {
    storage: &'a BackupStorage,
    secret: Option<&'a KubeSecret>,
}

impl Source<'_> {
    fn s3(&self, spec: &S3Spec) -> Result<StorageConfig, BackendError> {
        let secret = self.secret(spec.secret_name.as_deref())?;
        let credentials = match &secret {
            None => S3Credentials::Ambient,
            Some(keys) => S3Credentials::Keys {
                access_key_id: keys.required("AWS_ACCESS_KEY_ID")?,
                secret_access_key: keys.required("AWS_SECRET_ACCESS_KEY")?,
            },
        };
        let s3 = S3 {
            endpoint: text(spec.endpoint.as_ref()),
            bucket: self.named(spec.bucket.as_ref(), "spec.storage.s3.bucket")?,
            region: text(spec.region.as_ref()),
            credentials,
            ca_pem: secret
                .as_ref()
                .and_then(|keys| keys.get("CA_CERT_DATA"))
                .map(<[u8]>::to_vec),
            insecure_tls: spec.insecure_tls.unwrap_or_default(),
        };
        Ok(config(
            Provider::S3(s3),
            spec.prefix.as_ref(),
            spec.max_connections,
        ))
    }

    fn gcs(
        &self,
        spec: &GcsSpec,
        environment: &Environment,
    ) -> Result<StorageConfig, BackendError> {
        const KEY: &str = "GOOGLE_SERVICE_ACCOUNT_JSON_KEY";
        // Looked up also for an emulator, so that a manifest that works there works with Google.
        let secret = self.secret(spec.secret_name.as_deref())?;
        let key = secret.map(|keys| keys.required(KEY)).transpose()?;
        let credentials = match (&environment.storage_emulator_host, key) {
            (Some(endpoint), _) => GcsCredentials::Emulator {
                endpoint: endpoint.clone(),
            },
            (None, Some(key)) => GcsCredentials::ServiceAccount(key),
            (None, None) => GcsCredentials::Ambient,
        };
        let bucket = self.named(spec.bucket.as_ref(), "spec.storage.gcs.bucket")?;
        Ok(config(
            Provider::Gcs(Gcs {
                bucket,
                credentials,
            }),
            spec.prefix.as_ref(),
            spec.max_connections,
        ))
    }

    fn azure(&self, spec: &AzureSpec) -> Result<StorageConfig, BackendError> {
        let secret = self.secret(spec.secret_name.as_deref())?;
        let credentials = match secret
            .map(|keys| keys.required("AZURE_ACCOUNT_KEY"))
            .transpose()?
        {
            Some(key) => AzureCredentials::AccountKey(key),
            None => AzureCredentials::Ambient,
        };
        let azure = Azure {
            account: self.named(
                spec.storage_account.as_ref(),
                "spec.storage.azure.storageAccount",
            )?,
            container: self.named(spec.container.as_ref(), "spec.storage.azure.container")?,
            endpoint: None,
            credentials,
        };
        Ok(config(
            Provider::Azure(azure),
            spec.prefix.as_ref(),
            spec.max_connections,
        ))
    }

    fn local(&self, spec: &LocalSpec, root: &LocalRoot) -> Result<StorageConfig, BackendError> {
        let root = match root {
            LocalRoot::At(path) => path.clone(),
            LocalRoot::InPod => {
                let mount_path =
                    self.named(spec.mount_path.as_ref(), "spec.storage.local.mountPath")?;
                let name = self.storage.metadata.name.as_deref().unwrap_or_default();
                PathBuf::from(layout::local_mount_path(name, &mount_path))
            }
        };
        Ok(config(
            Provider::Local(Local { root }),
            None,
            spec.max_connections,
        ))
    }

    /// The keys of the Secret that `name` names; `None` if no Secret is named.
    fn secret(&self, name: Option<&str>) -> Result<Option<Keys<'_>>, BackendError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let (namespace, name) = (self.namespace().to_owned(), name.to_owned());
        match self.secret {
            Some(secret) => Ok(Some(Keys {
                secret,
                namespace,
                name,
            })),
            None => Err(BackendError::SecretMissing { namespace, name }),
        }
    }

    fn namespace(&self) -> &str {
        self.storage
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default()
    }

    fn named(&self, value: Option<&String>, field: &str) -> Result<String, BackendError> {
        text(value).ok_or_else(|| self.invalid(format!("{field} is empty; give it a value")))
    }

    fn invalid(&self, reason: String) -> BackendError {
        BackendError::InvalidStorage {
            namespace: self.namespace().to_owned(),
            name: self.storage.metadata.name.clone().unwrap_or_default(),
            reason,
        }
    }
}

/// The contents of a storage Secret.
struct Keys<'a> {
    secret: &'a KubeSecret,
    namespace: String,
    name: String,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&[u8]> {
        let value = &self.secret.data.as_ref()?.get(key)?.0;
        (!value.is_empty()).then_some(value)
    }

    fn required(&self, key: &'static str) -> Result<Secret, BackendError> {
        match self.get(key) {
            // Keys pasted into a file end in a line feed, which no provider's key has.
            Some(value) => Ok(Secret::new(value.trim_ascii().to_vec())),
            None => Err(BackendError::SecretKeyMissing {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                key,
            }),
        }
    }
}

fn text(value: Option<&String>) -> Option<String> {
    value
        .map(|value| value.trim_end_matches('/').to_owned())
        .filter(|value| !value.is_empty())
}

fn config(
    provider: Provider,
    prefix: Option<&String>,
    max_connections: Option<i64>,
) -> StorageConfig {
    StorageConfig {
        provider,
        prefix: layout::join(&[prefix.map_or("", String::as_str)]),
        max_connections: max_connections
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count > 0),
    }
}

#[cfg(test)]
mod tests;
