//! Changing objects by a patch of any of the four kinds.

use kubestash_apimachinery::field::ErrorKind;
use kubestash_apimachinery::{FieldError, Status, managed_fields, patch};
use serde_json::Value;

use super::admit::{self, Ownership};
use super::update::{Changed, change, check_identity};
use super::{ATTEMPTS, Caller, Refused, Target, Written, create, refused, wire};
use crate::app::App;

/// `application/json-patch+json`.
pub(crate) const JSON: &str = "application/json-patch+json";
/// `application/merge-patch+json`.
pub(crate) const MERGE: &str = "application/merge-patch+json";
/// `application/strategic-merge-patch+json`.
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// `application/apply-patch+yaml`: server-side apply.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// What a request wants changed.
#[derive(Debug)]
pub(crate) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply { config: Value, force: bool },
}

impl Patch {
    /// How ownership of the fields comes about.
    fn ownership(&self) -> Ownership {
        match self {
            Self::Apply { .. } => Ownership::Applied,
            Self::Json(_) | Self::Merge(_) | Self::Strategic(_) => Ownership::Updated,
        }
    }
}

/// Patches the object of a request; a server-side apply makes it if there is none.
pub(crate) async fn patch(
    app: &App,
    target: &Target,
    caller: &Caller,
    patch: &Patch,
    duplicates: &[String],
) -> Result<Written, Refused> {
    check_strategic(target, patch)?;
    let mut pinned = false;
    for _ in 0..ATTEMPTS {
        let Some(current) = app.store.get(&target.key()) else {
            match patch {
                Patch::Apply { config, force } if target.subresource.is_empty() => {
                    match apply_new(app, target, caller, config, *force).await {
                        // Somebody else made it meanwhile: then it is a change.
                        Err(status) if status.reason == "AlreadyExists" => continue,
                        other => return other,
                    }
                }
                _ => return Err(Box::new(Status::not_found(target.info(), &target.name))),
            }
        };
        let old = wire::read(&target.served, &current);
        let mut new = patched(target, caller, &old, patch)?;
        admit::check_types(target, &new)?;
        check_name(target, &new)?;
        check_identity(target, &new, &current)?;
        pinned |= pins_version(patch);
        if patch.ownership() == Ownership::Updated {
            admit::prune(target, caller, &mut new, duplicates)?;
        }
        match change(app, target, caller, &current, &old, new, patch.ownership()).await? {
            Changed::Written(written) => return Ok(written),
            Changed::Lost if pinned => break,
            Changed::Lost => {}
        }
    }
    Err(Box::new(Status::modified(target.info(), &target.name)))
}

/// The object after the patch.
fn patched(target: &Target, caller: &Caller, old: &Value, patch: &Patch) -> Result<Value, Refused> {
    match patch {
        Patch::Json(operations) => patch::json_patch(old, operations).map_err(refused),
        Patch::Merge(document) => patch::merge_patch(old, document).map_err(refused),
        Patch::Strategic(document) => {
            patch::strategic_merge(old, document, target.served.schema()?).map_err(refused)
        }
        Patch::Apply { config, force } => apply(target, caller, Some(old), config, *force),
    }
}

fn apply(
    target: &Target,
    caller: &Caller,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Value, Refused> {
    let api_version = target.info().api_version();
    let writer = admit::writer(target, caller, &api_version);
    let schema = target.served.schema()?;
    admit::check_types(target, config)?;
    managed_fields::apply(live, config, &writer, force, schema).map_err(refused)
}

async fn apply_new(
    app: &App,
    target: &Target,
    caller: &Caller,
    config: &Value,
    force: bool,
) -> Result<Written, Refused> {
    let uid = config["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() {
        return Err(Box::new(Status::conflict(
            target.info(),
            &target.name,
            "uid mismatch: the provided object specified a uid, and no existing object was found",
        )));
    }
    let value = apply(target, caller, None, config, force)?;
    create::create(app, target, caller, value, Ownership::Applied).await
}

/// Whether the patch only holds for one version of the object.
fn pins_version(patch: &Patch) -> bool {
    let document = match patch {
        Patch::Json(operations) => {
            return operations
                .as_array()
                .into_iter()
                .flatten()
                .any(|operation| operation["path"] == "/metadata/resourceVersion");
        }
        Patch::Merge(document) | Patch::Strategic(document) => document,
        Patch::Apply { config, .. } => config,
    };
    document["metadata"]["resourceVersion"].is_string()
}

/// Custom resources have no merge keys, so a strategic merge patch of them is refused as Kubernetes
/// does.
fn check_strategic(target: &Target, patch: &Patch) -> Result<(), Refused> {
    if matches!(patch, Patch::Strategic(_)) && target.served.is_custom() {
        return Err(Box::new(Status::unsupported_media_type(
            STRATEGIC,
            &[JSON, MERGE, APPLY],
        )));
    }
    Ok(())
}

fn check_name(target: &Target, new: &Value) -> Result<(), Refused> {
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    if name == target.name {
        return Ok(());
    }
    Err(Box::new(Status::invalid(
        target.info(),
        &target.name,
        &[FieldError {
            path: "metadata.name".to_owned(),
            kind: ErrorKind::Invalid,
            bad_value: Some(name.into()),
            detail: "field is immutable".to_owned(),
        }],
    )))
}
