//! The bucket, container or volume behind a BackupStorage.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::VolumeSource;

string_enum! {
    /// The kinds of storage that can be written to.
    pub enum Provider {
        /// Amazon S3, or any server that speaks its API.
        S3 = "s3",
        /// Google Cloud Storage.
        Gcs = "gcs",
        /// Azure Blob Storage.
        Azure = "azure",
        /// A volume of the cluster.
        Local = "local",
    }
}

/// Where the data is stored: one provider, and the part of that name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.provider) && self.provider in ['s3', 'gcs', 'azure', 'local']")
        .message("storage.provider is missing or unknown: use s3, gcs, azure or local")
        .field_path(".provider"),
    validation = Rule::new(
        "!has(self.provider) || (self.provider == 's3' ? has(self.s3) : self.provider == 'gcs' ? has(self.gcs) : \
         self.provider == 'azure' ? has(self.azure) : self.provider == 'local' ? has(self.local) : true)")
        .message("storage has no part for its provider: fill storage.s3, storage.gcs, storage.azure or storage.local, \
                  the one that storage.provider names")
)]
pub struct Backend {
    /// The Azure container; with `provider: azure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureSpec>,
    /// The bucket of Google Cloud Storage; with `provider: gcs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsSpec>,
    /// The volume; with `provider: local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalSpec>,
    /// `s3`, `gcs`, `azure` or `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The S3 bucket; with `provider: s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Spec>,
}

impl Backend {
    /// The provider, if one is given and known.
    #[must_use]
    pub fn known_provider(&self) -> Option<Provider> {
        self.provider.as_deref()?.parse().ok()
    }

    /// The Secret with the credentials, if the provider uses one and it is named.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        let name = match self.known_provider()? {
            Provider::S3 => self.s3.as_ref()?.secret_name.as_deref(),
            Provider::Gcs => self.gcs.as_ref()?.secret_name.as_deref(),
            Provider::Azure => self.azure.as_ref()?.secret_name.as_deref(),
            Provider::Local => None,
        };
        name.filter(|name| !name.is_empty())
    }
}

/// A directory of an S3 bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Spec {
    /// Name of the bucket. It must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// URL of the server, such as `https://minio.example.com:9000`. Without it, Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the server's certificate is not verified. To trust a CA of your own, put it into
    /// the Secret instead.
    #[serde(
        default,
        rename = "insecureTLS",
        skip_serializing_if = "Option::is_none"
    )]
    pub insecure_tls: Option<bool>,
    /// How many requests run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_connections: Option<i64>,
    /// Directory of the bucket to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and `CA_CERT_DATA` if
    /// the server has a certificate of a private CA. Without it, the credentials of the
    /// environment (IRSA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// A directory of a bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcsSpec {
    /// Name of the bucket. It must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// How many requests run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_connections: Option<i64>,
    /// Directory of the bucket to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Secret with the keys `GOOGLE_PROJECT_ID` and `GOOGLE_SERVICE_ACCOUNT_JSON_KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// A directory of an Azure blob container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureSpec {
    /// Name of the container. It must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How many requests run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_connections: Option<i64>,
    /// Directory of the container to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Secret with the key `AZURE_ACCOUNT_KEY`. Without it, the identity of the pod's workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Name of the storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_account: Option<String>,
}

/// A directory of a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalSpec {
    /// How many files are worked on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_connections: Option<i64>,
    /// Where the volume is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// Directory of the volume to mount. Without it, the volume's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// The volume.
    #[serde(flatten)]
    pub volume: VolumeSource,
}
