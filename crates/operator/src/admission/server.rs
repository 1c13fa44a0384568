//! The HTTPS server that answers admission reviews.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::certificate::{Certificate, CertificateError};
use super::registration::{self, Target};
use super::{defaults, world};
use crate::config::WebhookConfig;
use crate::consent::admit;
use crate::context::Context;
use crate::runtime::apply::ApplyError;
use crate::runtime::controller::full_text;
use crate::validation::kinds::Kind;
use crate::validation::{self, sentence};

const GRACE: Duration = Duration::from_secs(2);

/// Why the webhook cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate or its key is not usable.
    #[error(
        "failed to use the webhook's certificate: tls.crt and tls.key must be PEM and belong together"
    )]
    Tls(#[source] std::io::Error),
    /// The address cannot be listened on.
    #[error("failed to listen on {address} for the admission webhook")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The API server does not take the registration.
    #[error("failed to register the admission webhook")]
    Register(#[source] ApplyError),
}

impl AdmissionError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Certificate(inner) => inner.kind(),
            Self::Tls(_) => "CertificateUnusable",
            Self::Listen { .. } => "WebhookCannotListen",
            Self::Register(inner) => inner.kind(),
        }
    }
}

/// A running webhook.
pub(crate) struct Serving {
    handle: Handle<SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Serving {
    /// Stops taking requests, and waits for those in hand.
    pub(crate) async fn stop(self) {
        self.handle.graceful_shutdown(Some(GRACE));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the admission webhook ended with an error"),
            Err(error) => tracing::warn!(%error, "the admission webhook's task failed"),
        }
    }
}

/// Listens, then registers the webhook with the API server.
///
/// # Errors
/// When there is no usable certificate, the address is taken, or the API server refuses the
/// registration.
pub(crate) async fn serve(
    ctx: &Arc<Context>,
    config: &WebhookConfig,
) -> Result<Serving, AdmissionError> {
    let certificate = match &config.cert_dir {
        Some(folder) => Certificate::read(folder)?,
        None => Certificate::make(&config.address)?,
    };
    let tls = RustlsConfig::from_pem(certificate.chain.clone(), certificate.key.to_vec())
        .await
        .map_err(AdmissionError::Tls)?;
    let listen = |source| AdmissionError::Listen {
        address: config.listen,
        source,
    };
    let listener = std::net::TcpListener::bind(config.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, tls)
        .map_err(listen)?
        .handle(handle.clone());
    let task = tokio::spawn(server.serve(router(Arc::clone(ctx)).into_make_service()));
    let serving = Serving { handle, task };

    let target = Target {
        address: &config.address,
        port: address.port(),
        authority: &certificate.authority,
    };
    if let Err(error) = registration::register(&ctx.client, &target).await {
        serving.stop().await;
        return Err(AdmissionError::Register(error));
    }
    Ok(serving)
}

type Review = AdmissionReview<DynamicObject>;

fn router(ctx: Arc<Context>) -> Router {
    let mut router = Router::new();
    for kind in Kind::ALL {
        if kind.is_validated() {
            let validate = move |State(ctx): State<Arc<Context>>, Json(review): Json<Review>| async move {
                answer(review, async |request| validate(&ctx, kind, request).await).await
            };
            router = router.route(&kind.validate_path(), post(validate));
        }
        if kind.is_mutated() {
            let mutate = move |State(ctx): State<Arc<Context>>, Json(review): Json<Review>| async move {
                // It reads more than fits into a handler's frame.
                Box::pin(answer(review, async |request| {
                    Box::pin(mutate(&ctx, kind, request)).await
                }))
                .await
            };
            router = router.route(&kind.mutate_path(), post(mutate));
        }
    }
    router.with_state(ctx)
}

async fn answer(
    review: Review,
    decide: impl AsyncFnOnce(&AdmissionRequest<DynamicObject>) -> AdmissionResponse,
) -> Json<Value> {
    let request: Result<AdmissionRequest<DynamicObject>, _> = review.try_into();
    let response = match request {
        Ok(request) => decide(&request).await,
        Err(error) => AdmissionResponse::invalid(error),
    };
    Json(wire(response))
}

/// A response as the API has it: the library writes the bytes of a patch as a list of numbers, the
/// API has base64.
fn wire(response: AdmissionResponse) -> Value {
    let patch = response
        .patch
        .as_ref()
        .map(|patch| Value::String(STANDARD.encode(patch)));
    // Strings, numbers and maps of them: there is nothing that could fail.
    let mut review = serde_json::to_value(response.into_review()).unwrap_or_default();
    if let (Some(patch), Some(place)) = (patch, review.pointer_mut("/response/patch")) {
        *place = patch;
    }
    review
}

/// The object to judge, unless there is nothing to judge: it is going, or its spec is as it was.
fn subject(request: &AdmissionRequest<DynamicObject>) -> Option<Value> {
    standing(request).filter(|_| has_new_spec(request))
}

fn has_new_spec(request: &AdmissionRequest<DynamicObject>) -> bool {
    let spec = |object: &DynamicObject| object.data.get("spec").cloned();
    let before = request.old_object.as_ref().map(spec);
    before.is_none() || before != request.object.as_ref().map(spec)
}

/// The object, unless it is going.
fn standing(request: &AdmissionRequest<DynamicObject>) -> Option<Value> {
    let object = request.object.as_ref()?;
    if object.meta().deletion_timestamp.is_some() {
        return None;
    }
    let mut value = serde_json::to_value(object).ok()?;
    // A create request may leave the namespace to its URL.
    if object.namespace().is_none()
        && let (Some(metadata), Some(namespace)) = (
            value.get_mut("metadata").and_then(Value::as_object_mut),
            &request.namespace,
        )
    {
        metadata.insert("namespace".to_owned(), Value::String(namespace.clone()));
    }
    Some(value)
}

async fn validate(
    ctx: &Context,
    kind: Kind,
    request: &AdmissionRequest<DynamicObject>,
) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let Some(object) = subject(request) else {
        return response;
    };
    let before = request
        .old_object
        .as_ref()
        .and_then(|before| serde_json::to_value(before).ok());
    let world = match world::read(ctx, kind, &object).await {
        Ok(world) => world,
        Err(error) => return response.deny(full_text(&error)),
    };
    match validation::check(kind, &object, before.as_ref(), &world) {
        Ok(violations) if violations.is_empty() => response,
        Ok(violations) => {
            tracing::info!(
                kind = kind.name(), namespace = ?request.namespace, name = request.name, ?violations,
                "refused an object"
            );
            response.deny(sentence(&violations))
        }
        Err(error) => response.deny(format!("failed to read this {}: {error}", kind.name())),
    }
}

async fn mutate(
    ctx: &Context,
    kind: Kind,
    request: &AdmissionRequest<DynamicObject>,
) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let Some(before) = standing(request) else {
        return response;
    };
    let mut after = before.clone();
    if kind.is_defaulted() && has_new_spec(request) {
        let world = match world::read(ctx, kind, &before).await {
            Ok(world) => world,
            Err(error) => return response.deny(full_text(&error)),
        };
        defaults::apply(kind, &mut after, &world);
    }
    if admit::concerns(kind) {
        match admit::admit(ctx, kind, request, &before, &mut after).await {
            Ok(refused) if refused.is_empty() => {}
            Ok(refused) => {
                tracing::info!(
                    kind = kind.name(), namespace = ?request.namespace, name = request.name, ?refused,
                    "refused what an object refers to"
                );
                return response.deny(sentence(&refused));
            }
            Err(error) => return response.deny(full_text(&error)),
        }
    }
    if after == before {
        return response;
    }
    // The client library has its own version of the patch type; JSON is common to both.
    let patch =
        serde_json::to_value(json_patch::diff(&before, &after)).and_then(serde_json::from_value);
    let failed = |error: &dyn std::fmt::Display| {
        response.clone().deny(format!(
            "failed to fill in the defaults of this {}: {error}",
            kind.name()
        ))
    };
    match patch {
        Ok(patch) => response
            .clone()
            .with_patch(patch)
            .unwrap_or_else(|error| failed(&error)),
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_written_in_base64() {
        let review: Review = serde_json::from_value(json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "1", "operation": "CREATE", "userInfo": {}, "object": null, "oldObject": null,
                "kind": {"group": "g", "version": "v", "kind": "K"},
                "resource": {"group": "g", "version": "v", "resource": "ks"},
            },
        }))
        .unwrap();
        let request: AdmissionRequest<DynamicObject> = review.try_into().unwrap();
        let patch =
            serde_json::from_value(json!([{"op": "add", "path": "/a", "value": 1}])).unwrap();
        let written = wire(AdmissionResponse::from(&request).with_patch(patch).unwrap());
        let patch = written
            .pointer("/response/patch")
            .and_then(Value::as_str)
            .unwrap();
        assert_eq!(
            STANDARD.decode(patch).unwrap(),
            br#"[{"op":"add","path":"/a","value":1}]"#
        );
        assert_eq!(written["response"]["patchType"], "JSONPatch");
    }
}
