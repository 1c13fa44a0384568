//! Reading and writing objects as the API defines it, whoever asks: HTTP requests and the server's
//! own controllers.
//!
//! ```text
//!   create ┐
//!   update ├─► admit (defaults, prepare, webhooks, validation, ownership) ─► store.commit
//!   patch  ┘
//!   delete ──► webhooks ─► mark (finalizers, grace) or remove
//!   list, watch ─► selection ─► representation
//! ```

pub(crate) mod admit;
pub(crate) mod catalogue;
pub(crate) mod crd;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod event;
pub(crate) mod patch;
pub(crate) mod select;
pub(crate) mod update;
pub(crate) mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use catalogue::Served;
use jiff::Timestamp;
use kubestash_apimachinery::decode::FieldValidation;
use kubestash_apimachinery::{ResourceInfo, Status};
use serde_json::Value;

use crate::auth::user::User;
use crate::store::{Key, StoreError};

/// A refusal, as the client gets it.
pub(crate) type Refused = Box<Status>;

/// A refusal from any error that has a Status.
pub(crate) fn refused(error: impl Into<Status>) -> Refused {
    Box::new(error.into())
}

/// How often a write that lost against a concurrent one is tried again.
pub(crate) const ATTEMPTS: usize = 32;

/// The object or collection that a request is about.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) served: Arc<Served>,
    /// `None` for cluster-scoped resources and for requests across all namespaces.
    pub(crate) namespace: Option<String>,
    /// Empty for a collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

impl Target {
    /// The object `namespace`/`name`.
    pub(crate) fn object(served: &Arc<Served>, namespace: &str, name: &str) -> Self {
        Self {
            served: served.clone(),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            name: name.to_owned(),
            subresource: String::new(),
        }
    }

    /// What is known of the resource.
    pub(crate) fn info(&self) -> &ResourceInfo {
        &self.served.info
    }

    /// The key of the object.
    pub(crate) fn key(&self) -> Key {
        self.served.key(self.namespace.as_deref(), &self.name)
    }

    /// The refusal for an error of the store.
    pub(crate) fn refuse(&self, error: &StoreError, name: &str) -> Refused {
        let info = self.info();
        Box::new(match error {
            StoreError::AlreadyExists(_) => Status::already_exists(info, name),
            StoreError::NotFound(_) => Status::not_found(info, name),
            StoreError::Conflict { .. } => Status::modified(info, name),
            StoreError::Namespace { key, terminating } if *terminating => {
                Status::namespace_terminating(info, name, key.namespace())
            }
            StoreError::Namespace { key, .. } => namespace_not_found(key.namespace()),
            StoreError::NamespaceNotEmpty(_) => {
                Status::conflict(info, name, "the namespace is not empty")
            }
            StoreError::TooLarge { size, limit, .. } => Status::entity_too_large(&format!(
                "{name} with all that is known of it would have {size} bytes, the limit is {limit}"
            )),
            StoreError::Open { .. }
            | StoreError::Lost { .. }
            | StoreError::Damaged { .. }
            | StoreError::Serialise(_)
            | StoreError::Commit { .. }
            | StoreError::Closed => Status::internal(error.to_string()),
        })
    }
}

/// 404 of a namespace.
pub(crate) fn namespace_not_found(namespace: &str) -> Status {
    let mut status = Status::bad_request("");
    status.code = 404;
    status.reason = "NotFound";
    status.message = format!("namespaces \"{namespace}\" not found");
    status.details = Some(serde_json::json!({"name": namespace, "kind": "namespaces"}));
    status
}

/// Who writes, and how.
pub(crate) struct Caller {
    pub(crate) user: User,
    /// Field manager of the write.
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    pub(crate) now: Timestamp,
    warnings: Mutex<Vec<String>>,
}

impl Caller {
    /// A caller without warnings yet.
    pub(crate) fn new(
        user: User,
        manager: String,
        dry_run: bool,
        validation: FieldValidation,
    ) -> Self {
        Self {
            user,
            manager,
            dry_run,
            validation,
            now: now(),
            warnings: Mutex::default(),
        }
    }

    /// One of the server's own controllers.
    pub(crate) fn controller(name: &str) -> Self {
        Self::new(
            User::controller(name),
            name.to_owned(),
            false,
            FieldValidation::Ignore,
        )
    }

    /// Adds a `Warning` header to the answer.
    pub(crate) fn warn(&self, text: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// The warnings so far.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The time of a request, in whole seconds as all of `metadata` is.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A time as `metadata` shows it.
pub(crate) fn rfc3339(time: Timestamp) -> Value {
    Value::String(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The outcome of a write.
pub(crate) struct Written {
    /// The object in the version of the request.
    pub(crate) object: Value,
    /// Whether it is new.
    pub(crate) created: bool,
}
