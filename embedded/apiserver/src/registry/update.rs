//! Replacing objects, and the common end of every change of an existing object.

use kubestash_apimachinery::field::ErrorKind;
use kubestash_apimachinery::strategy::{self, Part};
use kubestash_apimachinery::{FieldError, Status};
use serde_json::{Value, json};

use super::admit::{self, Ownership};
use super::{ATTEMPTS, Caller, Refused, Target, Written, crd, wire};
use crate::app::App;
use crate::auth::escalation;
use crate::store::{Object, StoreError, Write};

/// How a change ended.
pub(crate) enum Changed {
    /// It is stored (or was none).
    Written(Written),
    /// Another write came first.
    Lost,
}

/// Replaces the object of a request.
pub(crate) async fn update(
    app: &App,
    target: &Target,
    caller: &Caller,
    body: Value,
) -> Result<Written, Refused> {
    let name = &target.name;
    let sent_version = body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if sent_version.is_empty() && !may_be_unconditional(target) {
        return Err(Box::new(Status::invalid(
            target.info(),
            name,
            &[FieldError {
                path: "metadata.resourceVersion".to_owned(),
                kind: ErrorKind::Invalid,
                bad_value: Some(json!(0)),
                detail: "must be specified for an update".to_owned(),
            }],
        )));
    }
    for _ in 0..ATTEMPTS {
        let current = app
            .store
            .get(&target.key())
            .ok_or_else(|| Box::new(Status::not_found(target.info(), name)))?;
        check_identity(target, &body, &current)?;
        let old = wire::read(&target.served, &current);
        let new = if target.subresource == "finalize" {
            with_finalizers_of(&old, &body)
        } else {
            body.clone()
        };
        match change(app, target, caller, &current, &old, new, Ownership::Updated).await? {
            Changed::Written(written) => return Ok(written),
            Changed::Lost if sent_version.is_empty() => {}
            Changed::Lost => break,
        }
    }
    Err(Box::new(Status::modified(target.info(), name)))
}

/// Kubernetes lets most built-in kinds be replaced without a resourceVersion.
fn may_be_unconditional(target: &Target) -> bool {
    let strict = [
        "customresourcedefinitions",
        "leases",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    ];
    !target.served.is_custom() && !strict.contains(&target.info().plural.as_str())
}

/// Refuses a change that was made against another object or another version.
pub(crate) fn check_identity(
    target: &Target,
    new: &Value,
    current: &Object,
) -> Result<(), Refused> {
    let metadata = &new["metadata"];
    let uid = metadata["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && uid != &*current.uid {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current.uid
        );
        return Err(Box::new(Status::conflict(
            target.info(),
            &target.name,
            &why,
        )));
    }
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != current.revision.to_string() {
        return Err(Box::new(Status::modified(target.info(), &target.name)));
    }
    Ok(())
}

/// The `finalize` subresource of a namespace changes `spec.finalizers` only.
fn with_finalizers_of(old: &Value, body: &Value) -> Value {
    let mut new = old.clone();
    new["spec"]["finalizers"] = body["spec"]["finalizers"].clone();
    if new["spec"]["finalizers"]
        .as_array()
        .is_none_or(Vec::is_empty)
        && let Some(spec) = new["spec"].as_object_mut()
    {
        spec.remove("finalizers");
    }
    new
}

/// Admits and stores `new` in place of `old`, the wire form of `current`. An object that was only
/// waiting for its finalizers goes.
pub(crate) async fn change(
    app: &App,
    target: &Target,
    caller: &Caller,
    current: &Object,
    old: &Value,
    mut new: Value,
    ownership: Ownership,
) -> Result<Changed, Refused> {
    let part = match target.subresource.as_str() {
        "status" => Part::Status,
        _ => Part::Main,
    };
    let finalize = target.subresource == "finalize";
    admit::apply_defaults(target, &mut new)?;
    if !finalize {
        strategy::prepare_for_update(target.info(), &mut new, old, part);
    }
    let mut new = admit::mutate(app, target, caller, Some(old), new).await?;
    if ownership == Ownership::Updated {
        admit::own(target, caller, Some(old), &mut new)?;
    }
    if !finalize {
        admit::validate(app, target, Some(old), &new, part).await?;
        escalation::check(app, target, caller, Some(old), &new)?;
    }
    if crd::is(target) && part == Part::Main {
        crd::set_status(app, &mut new, caller.now);
    }
    admit::review_write(app, target, caller, Some(old), &new).await?;
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    if new == *old || caller.dry_run {
        return Ok(Changed::Written(Written {
            object: new,
            created: false,
        }));
    }
    let finished = is_finished(target, &new);
    let (key, expected) = (current.key.clone(), current.revision);
    let value = wire::store(&target.served, new);
    let write = if finished {
        // The last state that watchers see is the one without finalizers.
        Write::Delete {
            key,
            expected,
            last: Some(value),
        }
    } else {
        Write::Update {
            key,
            expected,
            value,
        }
    };
    match app.store.commit(write).await {
        Ok(object) => Ok(Changed::Written(Written {
            object: wire::read(&target.served, &object),
            created: false,
        })),
        Err(StoreError::Conflict { .. }) => Ok(Changed::Lost),
        Err(error) => Err(target.refuse(&error, &target.name)),
    }
}

/// Whether an object is being deleted and nothing keeps it any more.
pub(crate) fn is_finished(target: &Target, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let kept_by_namespace =
        target.served.is("", "namespaces") && !none(&object["spec"]["finalizers"]);
    let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    metadata["deletionTimestamp"].is_string()
        && none(&metadata["finalizers"])
        && !kept_by_namespace
        && (grace == 0 || !target.served.is("", "pods"))
}
