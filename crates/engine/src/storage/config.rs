//! How to reach a storage. Holds credentials, so nothing here shows them.

use std::path::PathBuf;

use crate::Secret;

/// A directory of a bucket, container or volume, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Where and how.
    pub provider: Provider,
    /// Directory that everything lies under; empty for the root. Slashes at the ends do not
    /// matter.
    pub prefix: String,
    /// Most requests at a time; `None`: 10.
    pub max_connections: Option<usize>,
}

/// The kinds of storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3 or a server that speaks its protocol.
    S3(S3),
    /// Google Cloud Storage or its emulator.
    Gcs(Gcs),
    /// Azure Blob Storage or its emulator.
    Azure(Azure),
    /// A mounted volume.
    Local(Local),
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// URL of the server, with scheme; `None`: Amazon's own.
    pub endpoint: Option<String>,
    /// Name of the bucket.
    pub bucket: String,
    /// Region; `None`: `us-east-1`.
    pub region: Option<String>,
    /// Who we are.
    pub credentials: S3Credentials,
    /// Certificates (PEM) to trust beside the usual ones.
    pub ca_pem: Option<Vec<u8>>,
    /// Accept any certificate.
    pub insecure_tls: bool,
}

/// Who we are for S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Credentials {
    /// The identity of the process: environment, profile, web identity, instance metadata.
    Ambient,
    /// Given keys; nothing else is looked at.
    Keys {
        /// Access key id.
        access_key_id: Secret,
        /// Secret access key.
        secret_access_key: Secret,
    },
}

/// A GCS bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gcs {
    /// Name of the bucket.
    pub bucket: String,
    /// Who we are.
    pub credentials: GcsCredentials,
}

/// Who we are for GCS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcsCredentials {
    /// The identity of the process: application default credentials, metadata server.
    Ambient,
    /// The JSON key of a service account; nothing else is looked at.
    ServiceAccount(Secret),
    /// An emulator at this URL or `host:port`. No credentials are sent.
    Emulator {
        /// URL or `host:port`, as in `STORAGE_EMULATOR_HOST`.
        endpoint: String,
    },
}

/// An Azure blob container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// Storage account.
    pub account: String,
    /// Name of the container.
    pub container: String,
    /// URL of the service; `None`: `https://<account>.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Who we are.
    pub credentials: AzureCredentials,
}

/// Who we are for Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureCredentials {
    /// The identity of the process: workload identity, managed identity, environment.
    Ambient,
    /// The account's key.
    AccountKey(Secret),
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where it is mounted. It must exist: a missing mount must not be mistaken for an empty one.
    pub root: PathBuf,
}

impl StorageConfig {
    /// Name of the provider, as in `BackupStorage.spec.storage.provider`.
    pub fn provider_name(&self) -> &'static str {
        match self.provider {
            Provider::S3(_) => "s3",
            Provider::Gcs(_) => "gcs",
            Provider::Azure(_) => "azure",
            Provider::Local(_) => "local",
        }
    }

    /// The prefix without slashes at its ends and without empty or dot parts.
    pub fn normalised_prefix(&self) -> String {
        self.prefix
            .split('/')
            .filter(|part| !matches!(*part, "" | "." | ".."))
            .collect::<Vec<_>>()
            .join("/")
    }

    /// The storage in words, for messages: provider, bucket, prefix, endpoint. No credentials.
    pub fn place(&self) -> String {
        let (what, endpoint) = match &self.provider {
            Provider::S3(s3) => (format!("S3 bucket {}", s3.bucket), s3.endpoint.clone()),
            Provider::Gcs(gcs) => {
                let endpoint = match &gcs.credentials {
                    GcsCredentials::Emulator { endpoint } => Some(endpoint.clone()),
                    _ => None,
                };
                (format!("GCS bucket {}", gcs.bucket), endpoint)
            }
            Provider::Azure(azure) => (
                format!(
                    "Azure container {} of account {}",
                    azure.container, azure.account
                ),
                azure.endpoint.clone(),
            ),
            Provider::Local(local) => (format!("volume {}", local.root.display()), None),
        };
        let prefix = self.normalised_prefix();
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!(", prefix {prefix}")
        };
        match endpoint {
            Some(endpoint) => format!("{what} at {}{prefix}", without_user_info(&endpoint)),
            None => format!("{what}{prefix}"),
        }
    }
}

/// A URL without the user name and password that somebody may have written into it.
fn without_user_info(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.rsplit('@').next().unwrap_or(url).to_owned();
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoint: &str) -> StorageConfig {
        StorageConfig {
            provider: Provider::S3(S3 {
                endpoint: Some(endpoint.to_owned()),
                bucket: "demo".to_owned(),
                region: None,
                credentials: S3Credentials::Keys {
                    access_key_id: Secret::new("AKIA-canary"),
                    secret_access_key: Secret::new("canary-secret"),
                },
                ca_pem: None,
                insecure_tls: false,
            }),
            prefix: "/blueprint/".to_owned(),
            max_connections: None,
        }
    }

    #[test]
    fn neither_debug_nor_place_shows_credentials() {
        let config = s3("https://user:canary-pass@minio:9000/x@y");
        let shown = format!("{config:?} {}", config.place());
        assert!(!config.place().contains("canary"), "{shown}");
        assert!(!format!("{:?}", config.provider).contains("canary-secret"));
        assert_eq!(
            config.place(),
            "S3 bucket demo at https://minio:9000/x@y, prefix blueprint"
        );
    }

    #[test]
    fn prefixes_are_equal_whatever_their_slashes() {
        for prefix in ["a/b", "/a/b/", "a//b", "./a/../b"] {
            let mut config = s3("http://x");
            config.prefix = prefix.to_owned();
            assert_eq!(config.normalised_prefix(), "a/b");
        }
    }
}
