//! What every write goes through, in Kubernetes' order: defaults and preparation, mutating
//! webhooks, ownership, validation, validating webhooks.

use kubestash_apimachinery::strategy::{self, Part};
use kubestash_apimachinery::{FieldError, Schema, Status, decode, managed_fields};
use serde_json::Value;

use super::{Caller, Refused, Target, crd};
use crate::admission::{Operation, Review};
use crate::app::App;

/// How `managedFields` come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Worked out from what changed.
    Updated,
    /// Already set, by server-side apply.
    Applied,
}

/// Drops the fields that the schema does not know, and tells or refuses as the caller wants.
pub(crate) fn prune(
    target: &Target,
    caller: &Caller,
    value: &mut Value,
    duplicates: &[String],
) -> Result<(), Refused> {
    check_types(target, value)?;
    let unknown = target.served.schema()?.prune(value);
    let warnings =
        decode::field_validation(caller.validation, target.info(), &unknown, duplicates)?;
    for warning in warnings {
        caller.warn(warning);
    }
    Ok(())
}

/// Refuses values of the wrong type, so that nothing further on needs to expect them.
pub(crate) fn check_types(target: &Target, value: &Value) -> Result<(), Refused> {
    decode::check_types(target.info(), target.served.schema()?, value)
}

/// Fills in defaults.
pub(crate) fn apply_defaults(target: &Target, value: &mut Value) -> Result<(), Refused> {
    if target.served.is_custom() {
        target.served.schema()?.apply_defaults(value);
    }
    strategy::apply_defaults(target.info(), value);
    Ok(())
}

/// Calls mutating webhooks; what they change is pruned and defaulted as if it had been sent.
pub(crate) async fn mutate(
    app: &App,
    target: &Target,
    caller: &Caller,
    old: Option<&Value>,
    new: Value,
) -> Result<Value, Refused> {
    let review = review(target, caller, old);
    let mutated = app.webhooks.mutate(app, &review, new.clone()).await?;
    if mutated == new {
        return Ok(new);
    }
    let mut mutated = mutated;
    check_types(target, &mutated)?;
    target.served.schema()?.prune(&mut mutated);
    apply_defaults(target, &mut mutated)?;
    // What identifies the object is not a webhook's to change.
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
    ] {
        match new["metadata"].get(field) {
            Some(value) => mutated["metadata"][field] = value.clone(),
            None => {
                if let Some(metadata) = mutated["metadata"].as_object_mut() {
                    metadata.remove(field);
                }
            }
        }
    }
    Ok(mutated)
}

/// Records who owns what.
pub(crate) fn own(
    target: &Target,
    caller: &Caller,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<(), Refused> {
    let api_version = target.info().api_version();
    let writer = writer(target, caller, &api_version);
    managed_fields::update(old, new, &writer, target.served.schema()?);
    Ok(())
}

/// The writer of a request.
pub(crate) fn writer<'a>(
    target: &'a Target,
    caller: &'a Caller,
    api_version: &'a str,
) -> managed_fields::Writer<'a> {
    managed_fields::Writer {
        manager: &caller.manager,
        api_version,
        subresource: &target.subresource,
        has_status: target.info().has_subresource("status"),
        now: caller.now,
    }
}

/// Checks the object against its schema and the rules of its kind. What may take long (rules in
/// CEL, the schemas of a definition) is done on a thread of its own, no more of them at a time than
/// there are processors.
pub(crate) async fn validate(
    app: &App,
    target: &Target,
    old: Option<&Value>,
    new: &Value,
    part: Part,
) -> Result<(), Refused> {
    let schema = target.served.schema()?;
    let definition = crd::is(target);
    let errors = if definition || schema.has_rules() {
        let failed = |error: &dyn std::fmt::Display| {
            Box::new(Status::internal(format!(
                "failed to check the object: {error}"
            )))
        };
        let turn = app.evaluations.clone().acquire_owned().await;
        let turn = turn.map_err(|error| failed(&error))?;
        let (target, schema) = (target.clone(), schema.clone());
        let (old, new) = (old.cloned(), new.clone());
        let work = move || {
            let _turn = turn;
            findings(&target, &schema, old.as_ref(), &new, part)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| failed(&error))?
    } else {
        findings(target, schema, old, new, part)
    };
    if errors.is_empty() {
        return Ok(());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    Err(Box::new(Status::invalid(target.info(), name, &errors)))
}

fn findings(
    target: &Target,
    schema: &Schema,
    old: Option<&Value>,
    new: &Value,
    part: Part,
) -> Vec<FieldError> {
    let info = target.info();
    let mut errors = match old {
        None => strategy::validate_create(info, new),
        Some(old) => strategy::validate_update(info, new, old, part),
    };
    errors.extend(schema.validate(new, old));
    if crd::is(target) {
        errors.extend(crd::check(new, old));
    }
    errors
}

/// Calls validating webhooks.
pub(crate) async fn review_write(
    app: &App,
    target: &Target,
    caller: &Caller,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Refused> {
    app.webhooks
        .validate(app, &review(target, caller, old), Some(new))
        .await
}

fn review<'a>(target: &'a Target, caller: &'a Caller, old: Option<&'a Value>) -> Review<'a> {
    Review {
        target,
        caller,
        operation: match old {
            None => Operation::Create,
            Some(_) => Operation::Update,
        },
        old,
    }
}
