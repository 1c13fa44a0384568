//! Admission webhooks: the server asks others before it writes.
//!
//! Invariant: a write that some matching webhook denies, or that could not be asked with
//! `failurePolicy: Fail`, does not happen. Webhook configurations themselves are never subject to
//! webhooks, so a wrong one can be removed.

mod call;
mod conditions;
mod configuration;

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use call::Clients;
use configuration::{Hook, Request};
use kubestash_apimachinery::{Status, patch};
use serde_json::{Value, json};

use crate::app::App;
use crate::registry::catalogue::Served;
use crate::registry::{Caller, Refused, Target};
use crate::store::{GroupResource, Store};

const GROUP: &str = "admissionregistration.k8s.io";

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// `kind` of the request's options.
    fn options(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Delete => "DeleteOptions",
        }
    }
}

/// A request to be admitted.
pub(crate) struct Review<'a> {
    pub(crate) target: &'a Target,
    pub(crate) caller: &'a Caller,
    pub(crate) operation: Operation,
    /// The object before an update or deletion.
    pub(crate) old: Option<&'a Value>,
}

impl Review<'_> {
    /// Name of the object; that of a new one is in the object only.
    fn name<'a>(&'a self, object: Option<&'a Value>) -> &'a str {
        match object.and_then(|object| object["metadata"]["name"].as_str()) {
            Some(name) => name,
            None => &self.target.name,
        }
    }
}

/// Calls webhooks.
pub(crate) struct Webhooks {
    mutating: Hooks,
    validating: Hooks,
    clients: Clients,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            mutating: Hooks::new("mutatingwebhookconfigurations"),
            validating: Hooks::new("validatingwebhookconfigurations"),
            clients: Clients::default(),
        }
    }
}

/// The webhooks of one kind, read again when the configurations change.
struct Hooks {
    resource: GroupResource,
    loaded: Mutex<(u64, Arc<Vec<Hook>>)>,
}

impl Hooks {
    fn new(resource: &str) -> Self {
        Self {
            resource: GroupResource::new(GROUP, resource),
            loaded: Mutex::default(),
        }
    }

    fn current(&self, store: &Store) -> Arc<Vec<Hook>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = store.last_change(&self.resource);
        if loaded.0 != newest {
            *loaded = (newest, Arc::new(configuration::load(store, &self.resource)));
        }
        loaded.1.clone()
    }
}

impl Webhooks {
    /// Lets mutating webhooks change `object`, one after the other.
    pub(crate) async fn mutate(
        &self,
        app: &App,
        review: &Review<'_>,
        object: Value,
    ) -> Result<Value, Refused> {
        let hooks = self.mutating.current(&app.store);
        let mut object = object;
        let mut again: Vec<&Hook> = Vec::new();
        let mut called: Vec<&Hook> = Vec::new();
        for hook in hooks.iter() {
            let Some(changed) = self.mutate_one(app, review, hook, &object).await? else {
                continue;
            };
            if changed != object {
                again.clone_from(&called);
            }
            called.push(hook);
            object = changed;
        }
        // Those that wish so see once more what later ones changed.
        for hook in again {
            if hook.definition.reinvocation_policy == "IfNeeded"
                && let Some(changed) = self.mutate_one(app, review, hook, &object).await?
            {
                object = changed;
            }
        }
        Ok(object)
    }

    /// The object after one webhook, `None` if it was not called.
    async fn mutate_one(
        &self,
        app: &App,
        review: &Review<'_>,
        hook: &Hook,
        object: &Value,
    ) -> Result<Option<Value>, Refused> {
        let Some(response) = self.ask(app, review, hook, Some(object)).await? else {
            return Ok(None);
        };
        let Some(encoded) = response["patch"].as_str() else {
            return Ok(Some(object.clone()));
        };
        let name = &hook.definition.name;
        let failed = |why: String| Box::new(Status::webhook_failed(name, &why));
        if response["patchType"] != "JSONPatch" {
            return Err(failed(format!(
                "unsupported patchType {}",
                response["patchType"]
            )));
        }
        let operations = STANDARD
            .decode(encoded)
            .map_err(|error| failed(error.to_string()))?;
        let operations: Value =
            serde_json::from_slice(&operations).map_err(|error| failed(error.to_string()))?;
        patch::json_patch(object, &operations)
            .map(Some)
            .map_err(|error| failed(error.to_string()))
    }

    /// Asks all validating webhooks at once; the first refusal in their order counts.
    pub(crate) async fn validate(
        &self,
        app: &App,
        review: &Review<'_>,
        object: Option<&Value>,
    ) -> Result<(), Refused> {
        let hooks = self.validating.current(&app.store);
        let asked = hooks.iter().map(|hook| self.ask(app, review, hook, object));
        for answer in futures::future::join_all(asked).await {
            answer?;
        }
        Ok(())
    }

    /// Calls one webhook if it is concerned; `None` if it is not, or could not be asked and that is
    /// to be ignored.
    async fn ask(
        &self,
        app: &App,
        review: &Review<'_>,
        hook: &Hook,
        object: Option<&Value>,
    ) -> Result<Option<Value>, Refused> {
        let Some(matched) = concerned(app, review, hook, object) else {
            return Ok(None);
        };
        let definition = &hook.definition;
        match conditions::hold(&definition.match_conditions, review, &matched, object) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(why) if definition.failure_policy == "Ignore" => {
                tracing::warn!(webhook = definition.name, why, "not called");
                return Ok(None);
            }
            Err(why) => return Err(Box::new(Status::webhook_failed(&definition.name, &why))),
        }
        if review.caller.dry_run
            && !matches!(definition.side_effects.as_str(), "None" | "NoneOnDryRun")
        {
            return Err(Box::new(Status::bad_request(format!(
                "admission webhook \"{}\" does not support dry run",
                definition.name
            ))));
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let document = document(review, &matched, object, &uid);
        let response = match self.clients.call(definition, &document, &uid).await {
            Ok(response) => response,
            Err(error) if definition.failure_policy == "Ignore" => {
                tracing::warn!(webhook = definition.name, kind = error.kind(), %error, "failed open");
                return Ok(None);
            }
            Err(error) => {
                let why = with_sources(&error);
                return Err(Box::new(Status::webhook_failed(&definition.name, &why)));
            }
        };
        for warning in response["warnings"].as_array().into_iter().flatten() {
            review
                .caller
                .warn(warning.as_str().unwrap_or_default().to_owned());
        }
        if response["allowed"] != true {
            return Err(Box::new(Status::webhook_denied(
                &definition.name,
                response.get("status"),
            )));
        }
        Ok(Some(response))
    }
}

/// The version of the resource in which a webhook wants to be asked, `None` if it is not concerned.
fn concerned(
    app: &App,
    review: &Review<'_>,
    hook: &Hook,
    object: Option<&Value>,
) -> Option<Arc<Served>> {
    let served = &review.target.served;
    if served.info.group == GROUP {
        return None;
    }
    let catalogue = app.catalogue();
    let covers = |served: &Arc<Served>| {
        hook.covers(&Request {
            operation: review.operation.name(),
            group: &served.info.group,
            version: &served.info.version,
            resource: &served.info.plural,
            subresource: &review.target.subresource,
            namespaced: review.target.namespace.is_some(),
        })
    };
    let matched = if covers(served) {
        served.clone()
    } else if hook.definition.match_policy == "Equivalent" {
        catalogue
            .versions(&served.storage)
            .find(|version| covers(version))?
            .clone()
    } else {
        return None;
    };
    let selected =
        hook.selects(&[object, review.old]) && selects_namespace(app, review, hook, object);
    selected.then_some(matched)
}

fn selects_namespace(app: &App, review: &Review<'_>, hook: &Hook, object: Option<&Value>) -> bool {
    if review.target.served.is("", "namespaces") {
        let labels = object
            .or(review.old)
            .and_then(|object| object["metadata"]["labels"].as_object());
        return hook.selects_namespace(labels);
    }
    match &review.target.namespace {
        None => true,
        Some(namespace) => {
            let found = app.namespace(namespace);
            hook.selects_namespace(found.as_ref().and_then(|found| found.labels.as_ref()))
        }
    }
}

/// The AdmissionReview to send, with the objects in the version of `matched`.
fn document(review: &Review<'_>, matched: &Served, object: Option<&Value>, uid: &str) -> Value {
    let (target, caller) = (review.target, review.caller);
    let in_version = |object: Option<&Value>| match object {
        None => Value::Null,
        Some(object) => {
            let mut object = object.clone();
            object["apiVersion"] = matched.info.api_version().into();
            object
        }
    };
    let name = review.name(object);
    let kind = |served: &Served| json!({"group": served.info.group, "version": served.info.version, "kind": served.info.kind});
    let resource = |served: &Served| json!({"group": served.info.group, "version": served.info.version, "resource": served.info.plural});
    let mut request = json!({
        "uid": uid,
        "kind": kind(matched),
        "resource": resource(matched),
        "requestKind": kind(&target.served),
        "requestResource": resource(&target.served),
        "name": name,
        "operation": review.operation.name(),
        "userInfo": caller.user.to_value(),
        "object": in_version(object),
        "oldObject": in_version(review.old),
        "dryRun": caller.dry_run,
        "options": {"kind": review.operation.options(), "apiVersion": "meta.k8s.io/v1"},
    });
    if !caller.manager.is_empty() {
        request["options"]["fieldManager"] = caller.manager.clone().into();
    }
    if let Some(namespace) = &target.namespace {
        request["namespace"] = namespace.clone().into();
    } else if target.served.is("", "namespaces") {
        request["namespace"] = name.into();
    }
    if !target.subresource.is_empty() {
        request["subResource"] = target.subresource.clone().into();
        request["requestSubResource"] = target.subresource.clone().into();
    }
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
}

/// An error with its causes: reqwest says only in the last one that a connection was refused.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source().and_then(std::error::Error::source);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
