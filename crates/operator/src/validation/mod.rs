//! The rules of admission: functions of an object and of the others it is judged against.
//!
//! Each returns every violation it finds, with the field and the remedy. A reference to something
//! that does not exist is no violation: objects may be applied in any order, and a controller says
//! later what is missing. What can be told from one object alone is in the schema of its kind (CEL)
//! and only repeated here where the rules are used again on objects that no API server has checked.

mod backup_blueprint;
mod backup_configuration;
mod backup_storage;
pub(crate) mod directories;
pub(crate) mod kinds;
mod names;
mod repository;
mod restore_session;
mod retention_policy;
mod task_parameters;
mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub(crate) use backup_blueprint::backup_blueprint;
pub(crate) use backup_configuration::backup_configuration;
pub(crate) use backup_storage::{backup_storage, same_place};
use kubestash_api::addons::{Addon, Function};
use kubestash_api::core::{BackupBlueprint, HookTemplate};
use kubestash_api::storage::{BackupStorage, Repository, RetentionPolicy};
pub(crate) use repository::repository;
pub(crate) use restore_session::restore_session;
pub(crate) use retention_policy::retention_policy;
use serde::de::DeserializeOwned;
use serde_json::Value;
pub(crate) use usage::allows;

use self::kinds::Kind;

/// What an object is judged against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Others {
    /// Labels of the namespace the object is in.
    pub namespace_labels: BTreeMap<String, String>,
    /// All BackupStorages of the cluster.
    pub storages: Vec<Arc<BackupStorage>>,
    /// All RetentionPolicies of the cluster.
    pub policies: Vec<Arc<RetentionPolicy>>,
    /// All Repositories of the cluster.
    pub repositories: Vec<Arc<Repository>>,
    /// The HookTemplates that the object refers to, as far as they exist.
    pub hook_templates: Vec<Arc<HookTemplate>>,
    /// All Addons of the cluster.
    pub addons: Vec<Arc<Addon>>,
    /// All Functions of the cluster.
    pub functions: Vec<Arc<Function>>,
}

/// A rule that an object breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The field, such as `spec.backends[0].name`.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Violation {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// Violations as one line.
#[must_use]
pub(crate) fn sentence(violations: &[Violation]) -> String {
    let all: Vec<_> = violations.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// Applies the rules of `kind` to an object as the API server sends it.
pub(super) fn check(
    kind: Kind,
    object: &Value,
    before: Option<&Value>,
    others: &Others,
) -> Result<Vec<Violation>, serde_json::Error> {
    Ok(match kind {
        Kind::BackupStorage => {
            // What was stored under an older schema need not parse; then there is nothing to
            // compare with.
            let before = before.and_then(|before| parse::<BackupStorage>(before).ok());
            backup_storage(&parse(object)?, before.as_ref(), others)
        }
        Kind::RetentionPolicy => retention_policy(&parse(object)?, others),
        Kind::BackupConfiguration => backup_configuration(&parse(object)?, others),
        Kind::BackupBlueprint => {
            let before = before.and_then(|before| parse::<BackupBlueprint>(before).ok());
            backup_blueprint(&parse(object)?, before.as_ref(), others)
        }
        Kind::RestoreSession => restore_session(&parse(object)?, others),
        Kind::Repository => repository(&parse(object)?, before.is_none(), others),
        // What one object is enough for is in its schema.
        Kind::HookTemplate => Vec::new(),
    })
}

fn parse<K: DeserializeOwned>(value: &Value) -> Result<K, serde_json::Error> {
    K::deserialize(value)
}
