//! What every write goes through, in Kubernetes' order: defaults and preparation, mutating webhooks, ownership,
//! validation, validating webhooks.

use kubestash_apimachinery::strategy::{self, Part};
use kubestash_apimachinery::{FieldError, Status, decode, managed_fields};
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

/// Checks the object against its schema and the rules of its kind.
pub(crate) fn validate(
    target: &Target,
    old: Option<&Value>,
    new: &Value,
    part: Part,
) -> Result<(), Refused> {
    let info = target.info();
    let mut errors: Vec<FieldError> = match old {
        None => strategy::validate_create(info, new),
        Some(old) => strategy::validate_update(info, new, old, part),
    };
    errors.extend(target.served.schema()?.validate(new, old));
    if crd::is(target) {
        errors.extend(crd::check(new, old));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    Err(Box::new(Status::invalid(info, name, &errors)))
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
