//! Creating objects.

use kubestash_apimachinery::Status;
use kubestash_apimachinery::strategy::{self, NAME_ALPHABET, NewObject, Part};
use serde_json::Value;

use super::admit::{self, Ownership};
use super::{Caller, Refused, Target, Written, crd, namespace_not_found, wire};
use crate::app::App;
use crate::auth::escalation;
use crate::store::{StoreError, Write};

/// How many generated names are tried.
const NAME_ATTEMPTS: usize = 8;

/// Creates the object of a request. `value` is decoded, its identity is checked, unknown fields are
/// gone.
pub(crate) async fn create(
    app: &App,
    target: &Target,
    caller: &Caller,
    value: Value,
    ownership: Ownership,
) -> Result<Written, Refused> {
    check_namespace(app, target, &value)?;
    let generated =
        is_empty(&value["metadata"]["name"]) && !is_empty(&value["metadata"]["generateName"]);
    let mut attempt = 1;
    loop {
        let new = prepare(target, caller, value.clone())?;
        match store(app, target, caller, new, ownership).await? {
            Outcome::Written(written) => return Ok(written),
            Outcome::Exists(_) if generated && attempt < NAME_ATTEMPTS => attempt += 1,
            Outcome::Exists(name) if generated => {
                return Err(Box::new(Status::generate_name_conflict(
                    target.info(),
                    &name,
                )));
            }
            Outcome::Exists(name) => {
                return Err(Box::new(Status::already_exists(target.info(), &name)));
            }
        }
    }
}

enum Outcome {
    Written(Written),
    /// The name is taken.
    Exists(String),
}

fn prepare(target: &Target, caller: &Caller, mut value: Value) -> Result<Value, Refused> {
    admit::apply_defaults(target, &mut value)?;
    let uid = uuid::Uuid::new_v4().to_string();
    let new = NewObject {
        uid: &uid,
        now: caller.now,
        name_suffix: &name_suffix(),
    };
    strategy::prepare_for_create(target.info(), &mut value, target.namespace.as_deref(), &new);
    Ok(value)
}

async fn store(
    app: &App,
    target: &Target,
    caller: &Caller,
    new: Value,
    ownership: Ownership,
) -> Result<Outcome, Refused> {
    let mut new = admit::mutate(app, target, caller, None, new).await?;
    if ownership == Ownership::Updated {
        admit::own(target, caller, None, &mut new)?;
    }
    admit::validate(app, target, None, &new, Part::Main).await?;
    escalation::check(app, target, caller, None, &new)?;
    if crd::is(target) {
        crd::set_status(app, &mut new, caller.now);
    }
    admit::review_write(app, target, caller, None, &new).await?;
    let name = new["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let key = target.served.key(target.namespace.as_deref(), &name);
    if caller.dry_run {
        return Ok(match app.store.get(&key) {
            Some(_) => Outcome::Exists(name),
            None => Outcome::Written(Written {
                object: new,
                created: true,
            }),
        });
    }
    let value = wire::store(&target.served, new);
    match app.store.commit(Write::Create { key, value }).await {
        Ok(object) => Ok(Outcome::Written(Written {
            object: wire::read(&target.served, &object),
            created: true,
        })),
        Err(StoreError::AlreadyExists(_)) => Ok(Outcome::Exists(name)),
        Err(error) => Err(target.refuse(&error, &name)),
    }
}

/// Refuses an object whose namespace is absent or going. The store checks it again when it commits.
fn check_namespace(app: &App, target: &Target, value: &Value) -> Result<(), Refused> {
    let Some(namespace) = &target.namespace else {
        return Ok(());
    };
    match app.namespace(namespace) {
        None => Err(Box::new(namespace_not_found(namespace))),
        Some(found) if found.terminating => {
            let name = value["metadata"]["name"].as_str().unwrap_or_default();
            Err(Box::new(Status::namespace_terminating(
                target.info(),
                name,
                namespace,
            )))
        }
        Some(_) => Ok(()),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_none_or(str::is_empty)
}

fn name_suffix() -> String {
    let alphabet = NAME_ALPHABET.as_bytes();
    (0..5)
        .map(|_| char::from(alphabet[rand::random_range(0..alphabet.len())]))
        .collect()
}
