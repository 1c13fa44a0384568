//! Calling one webhook: the AdmissionReview over HTTPS, and what its answer means.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::configuration::{ClientConfig, Definition};

/// More than any honest answer.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The configuration names no URL; a Service cannot be reached without a cluster network.
    #[error("clientConfig.url is not set: this server reaches webhooks by URL only")]
    NoUrl,
    /// The URL is not HTTPS.
    #[error("clientConfig.url must begin with https://")]
    NotHttps,
    /// The CA is not base64 of PEM.
    #[error("failed to read clientConfig.caBundle: {0}")]
    CaBundle(String),
    /// The request failed or timed out.
    #[error("failed to call webhook: {0}")]
    Http(#[source] reqwest::Error),
    /// The webhook answered something else than an AdmissionReview.
    #[error("received invalid webhook response: {0}")]
    Answer(String),
}

impl CallError {
    /// A stable word for the kind of error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NoUrl => "WebhookNoUrl",
            Self::NotHttps => "WebhookNotHttps",
            Self::CaBundle(_) => "WebhookCaBundle",
            Self::Http(_) => "WebhookHttp",
            Self::Answer(_) => "WebhookAnswer",
        }
    }
}

/// The clients, one for each CA: they keep connections open between calls.
#[derive(Default)]
pub(super) struct Clients {
    by_ca: Mutex<HashMap<String, reqwest::Client>>,
}

impl Clients {
    /// Sends an AdmissionReview and returns the `response` of the answer.
    pub(super) async fn call(
        &self,
        definition: &Definition,
        review: &Value,
        uid: &str,
    ) -> Result<Value, CallError> {
        let config = &definition.client_config;
        if config.url.is_empty() {
            return Err(CallError::NoUrl);
        }
        if !config.url.starts_with("https://") {
            return Err(CallError::NotHttps);
        }
        let seconds = definition.timeout_seconds.clamp(1, 30);
        let separator = if config.url.contains('?') { '&' } else { '?' };
        let response = self
            .client(config)?
            .post(format!("{}{separator}timeout={seconds}s", config.url))
            .timeout(Duration::from_secs(seconds))
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(review.to_string())
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(CallError::Http)?;
        let body = bounded(response).await?;
        let answer: Value =
            serde_json::from_slice(&body).map_err(|error| CallError::Answer(error.to_string()))?;
        let response = &answer["response"];
        if answer["kind"] != "AdmissionReview" || !response.is_object() {
            return Err(CallError::Answer(
                "not an AdmissionReview with a response".to_owned(),
            ));
        }
        if response["uid"] != *uid {
            return Err(CallError::Answer(format!(
                "expected response.uid={uid:?}, got {}",
                response["uid"]
            )));
        }
        Ok(response.clone())
    }

    fn client(&self, config: &ClientConfig) -> Result<reqwest::Client, CallError> {
        let mut clients = self.by_ca.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&config.ca_bundle) {
            return Ok(client.clone());
        }
        // reqwest takes the process's TLS provider; installing it twice is harmless, so the result
        // does not matter.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        if !config.ca_bundle.is_empty() {
            let pem = STANDARD
                .decode(&config.ca_bundle)
                .map_err(|error| CallError::CaBundle(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| CallError::CaBundle(error.to_string()))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(CallError::Http)?;
        clients.insert(config.ca_bundle.clone(), client.clone());
        Ok(client)
    }
}

async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(CallError::Http)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(CallError::Answer("the answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
