//! From the configuration of a bucket to a service of opendal and an HTTP client for it.

use std::sync::Once;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opendal::services;

use crate::storage::{
    Azure, AzureCredentials, Gcs, GcsCredentials, Provider, S3, S3Credentials, StorageConfig,
};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// The client of one storage: its certificates, and connections that do not wait for ever.
pub(super) fn http_client(config: &StorageConfig) -> Result<reqwest::Client, crate::error::Cause> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another part of the process may have installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .user_agent(concat!("kubestash/", env!("CARGO_PKG_VERSION")));
    if let Provider::S3(s3) = &config.provider {
        if let Some(pem) = &s3.ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)?;
            if certificates.is_empty() {
                return Err("the CA certificate data holds no certificate in PEM format".into());
            }
            builder = builder.tls_certs_merge(certificates);
        }
        builder = builder.tls_danger_accept_invalid_certs(s3.insecure_tls);
    }
    Ok(builder.build()?)
}

fn text<'a>(secret: &'a crate::Secret, what: &str) -> Result<&'a str, String> {
    match secret.expose_str().map(str::trim) {
        Some("") => Err(format!("{what} is empty")),
        Some(text) => Ok(text),
        None => Err(format!("{what} is not text")),
    }
}

pub(super) fn build_s3(s3: &S3, root: &str) -> Result<services::S3, String> {
    if s3.bucket.is_empty() {
        return Err("the bucket is empty".to_owned());
    }
    let mut builder = services::S3::default()
        .root(root)
        .bucket(&s3.bucket)
        .region(s3.region.as_deref().unwrap_or("us-east-1"));
    if let Some(endpoint) = &s3.endpoint {
        let (scheme, rest) = match endpoint.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            // As everybody does who takes an endpoint without a scheme.
            None => ("https".to_owned(), endpoint.as_str()),
        };
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(format!(
                "the endpoint begins with {scheme}://; write http:// or https://"
            ));
        }
        builder = builder.endpoint(&format!("{scheme}://{rest}"));
    }
    if let S3Credentials::Keys {
        access_key_id,
        secret_access_key,
    } = &s3.credentials
    {
        builder = builder
            .access_key_id(text(access_key_id, "the access key id")?)
            .secret_access_key(text(secret_access_key, "the secret access key")?)
            .disable_config_load()
            .disable_ec2_metadata();
    }
    Ok(builder)
}

pub(super) fn build_gcs(gcs: &Gcs, root: &str) -> Result<services::Gcs, String> {
    if gcs.bucket.is_empty() {
        return Err("the bucket is empty".to_owned());
    }
    let builder = services::Gcs::default().root(root).bucket(&gcs.bucket);
    Ok(match &gcs.credentials {
        GcsCredentials::Ambient => builder,
        GcsCredentials::ServiceAccount(key) => {
            // A key that opendal cannot read would be passed over in silence.
            let parsed: Option<serde_json::Map<String, serde_json::Value>> =
                serde_json::from_slice(key.expose()).ok();
            if !parsed.is_some_and(|key| key.contains_key("type")) {
                return Err(
                    "the service account key is not the JSON file that Google issues".to_owned(),
                );
            }
            let encoded = zeroize::Zeroizing::new(BASE64.encode(key.expose()));
            builder
                .credential(&encoded)
                .disable_config_load()
                .disable_vm_metadata()
        }
        GcsCredentials::Emulator { endpoint } => {
            let endpoint = endpoint.trim_end_matches('/');
            let endpoint = if endpoint.contains("://") {
                endpoint.to_owned()
            } else {
                format!("http://{endpoint}")
            };
            builder
                .endpoint(&endpoint)
                .skip_signature()
                .disable_config_load()
                .disable_vm_metadata()
        }
    })
}

pub(super) fn build_azure(azure: &Azure, root: &str) -> Result<services::Azblob, String> {
    if azure.account.is_empty() {
        return Err("the storage account is empty".to_owned());
    }
    if azure.container.is_empty() {
        return Err("the container is empty".to_owned());
    }
    let endpoint = azure
        .endpoint
        .clone()
        .unwrap_or_else(|| format!("https://{}.blob.core.windows.net", azure.account));
    let builder = services::Azblob::default()
        .root(root)
        .container(&azure.container)
        .account_name(&azure.account)
        .endpoint(&endpoint);
    Ok(match &azure.credentials {
        AzureCredentials::Ambient => builder,
        AzureCredentials::AccountKey(key) => {
            let key = text(key, "the account key")?;
            if BASE64.decode(key).is_err() {
                return Err("the account key is not valid base64".to_owned());
            }
            builder.account_key(key)
        }
    })
}
