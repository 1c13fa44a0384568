//! Deleting objects: preconditions, grace, finalizers, and what becomes of dependents.
//!
//! Invariant: an object with finalizers is only marked; it goes with the write that removes the
//! last one.

use kubestash_apimachinery::Status;
use serde_json::{Value, json};

use super::select::Selection;
use super::update::is_finished;
use super::{ATTEMPTS, Caller, Refused, Target, crd, rfc3339, wire};
use crate::admission::{Operation, Review};
use crate::app::App;
use crate::store::{Object, StoreError, Write};

/// Finalizer that makes the garbage collector delete dependents first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer that makes the garbage collector release dependents first.
pub(crate) const ORPHAN: &str = "orphan";
/// Namespaces that the server itself needs.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];
/// Grace of a pod that names none.
const DEFAULT_POD_GRACE: i64 = 30;

/// What becomes of the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The options of a deletion.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

/// The outcome of a deletion.
pub(crate) struct Deleted {
    /// The object as it was last, in the version of the request.
    pub(crate) object: Value,
    /// Whether it is gone, not only marked.
    pub(crate) gone: bool,
}

/// Deletes the object of a request.
pub(crate) async fn delete(
    app: &App,
    target: &Target,
    caller: &Caller,
    options: &DeleteOptions,
) -> Result<Deleted, Refused> {
    check_protected(target)?;
    for _ in 0..ATTEMPTS {
        let current = app
            .store
            .get(&target.key())
            .ok_or_else(|| Box::new(Status::not_found(target.info(), &target.name)))?;
        check_preconditions(target, &current, options)?;
        let old = wire::read(&target.served, &current);
        let review = Review {
            target,
            caller,
            operation: Operation::Delete,
            old: Some(&old),
        };
        app.webhooks.validate(app, &review, None).await?;
        let marked = mark(target, caller, &old, options);
        if marked == old {
            return Ok(Deleted {
                object: old,
                gone: false,
            });
        }
        let gone = is_finished(target, &marked);
        if caller.dry_run {
            return Ok(Deleted {
                object: marked,
                gone,
            });
        }
        let (key, expected) = (current.key.clone(), current.revision);
        let write = if gone {
            Write::Delete {
                key,
                expected,
                last: None,
            }
        } else {
            let value = wire::store(&target.served, marked);
            Write::Update {
                key,
                expected,
                value,
            }
        };
        match app.store.commit(write).await {
            Ok(object) => {
                return Ok(Deleted {
                    object: wire::read(&target.served, &object),
                    gone,
                });
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(target.refuse(&error, &target.name)),
        }
    }
    Err(Box::new(Status::modified(target.info(), &target.name)))
}

/// Deletes all objects of a selection and returns them.
pub(crate) async fn delete_collection(
    app: &App,
    target: &Target,
    caller: &Caller,
    selection: &Selection,
    options: &DeleteOptions,
) -> Result<Vec<Value>, Refused> {
    let mut deleted = Vec::new();
    for object in selection.list(&app.store, &target.served).objects {
        let one = Target::object(&target.served, object.key.namespace(), object.key.name());
        match delete(app, &one, caller, options).await {
            Ok(outcome) => deleted.push(outcome.object),
            Err(status) if status.reason == "NotFound" => {}
            Err(status) => return Err(status),
        }
    }
    Ok(deleted)
}

fn check_protected(target: &Target) -> Result<(), Refused> {
    if target.served.is("", "namespaces") && PROTECTED.contains(&target.name.as_str()) {
        let why = "this namespace may not be deleted";
        return Err(Box::new(Status::forbidden(
            target.info(),
            &target.name,
            why,
        )));
    }
    Ok(())
}

fn check_preconditions(
    target: &Target,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), Refused> {
    let conflict = |what: &str, wanted: &str, found: &str| {
        let why = format!(
            "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        );
        Err(Box::new(Status::conflict(
            target.info(),
            &target.name,
            &why,
        )))
    };
    if let Some(uid) = options.uid.as_deref()
        && uid != &*current.uid
    {
        return conflict("UID", uid, &current.uid);
    }
    let version = current.revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref()
        && wanted != version
    {
        return conflict("ResourceVersion", wanted, &version);
    }
    Ok(())
}

/// The object marked for deletion; equal to `old` when it is marked already and the request adds
/// nothing.
fn mark(target: &Target, caller: &Caller, old: &Value, options: &DeleteOptions) -> Value {
    let mut new = old.clone();
    let mut finalizers = finalizers(old);
    set_propagation(target, caller, &mut finalizers, options);
    let first = !old["metadata"]["deletionTimestamp"].is_string();
    let grace = grace(target, old, options);
    if first {
        if crd::is(target) {
            crd::mark_terminating(&mut new, &mut finalizers, caller.now);
        }
        if target.served.is("", "namespaces") {
            new["status"]["phase"] = "Terminating".into();
        }
        if let Some(generation) = old["metadata"]["generation"].as_i64() {
            new["metadata"]["generation"] = (generation + 1).into();
        }
        let ends = caller.now + jiff::SignedDuration::from_secs(grace);
        new["metadata"]["deletionTimestamp"] = rfc3339(ends);
        new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    } else if let Some(before) = old["metadata"]["deletionGracePeriodSeconds"].as_i64()
        && grace < before
    {
        let ends = old["metadata"]["deletionTimestamp"]
            .as_str()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .unwrap_or(caller.now);
        new["metadata"]["deletionTimestamp"] =
            rfc3339(ends - jiff::SignedDuration::from_secs(before - grace));
        new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
    match finalizers.is_empty() {
        false => new["metadata"]["finalizers"] = json!(finalizers),
        true => {
            if let Some(metadata) = new["metadata"].as_object_mut() {
                metadata.shift_remove("finalizers");
            }
        }
    }
    new
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some(one.as_str()?.to_owned()))
        .collect()
}

fn set_propagation(
    target: &Target,
    caller: &Caller,
    finalizers: &mut Vec<String>,
    options: &DeleteOptions,
) {
    let has = |name: &str| finalizers.iter().any(|one| one == name);
    let policy = options.propagation.unwrap_or_else(|| {
        if has(ORPHAN) {
            Propagation::Orphan
        } else if has(FOREGROUND) {
            Propagation::Foreground
        } else if target.served.is("batch", "jobs") {
            caller.warn(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                 remove them or set propagationPolicy=Orphan to suppress this warning"
                    .to_owned(),
            );
            Propagation::Orphan
        } else {
            Propagation::Background
        }
    });
    finalizers.retain(|one| one != ORPHAN && one != FOREGROUND);
    match policy {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
    }
}

/// Seconds until the object goes; only pods have any.
fn grace(target: &Target, old: &Value, options: &DeleteOptions) -> i64 {
    if !target.served.is("", "pods") {
        return 0;
    }
    let unscheduled = old["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let ended = matches!(
        old["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    if unscheduled || ended {
        return 0;
    }
    match options
        .grace_seconds
        .or(old["spec"]["terminationGracePeriodSeconds"].as_i64())
    {
        None => DEFAULT_POD_GRACE,
        Some(seconds) if seconds < 0 => 1,
        Some(seconds) => seconds,
    }
}
