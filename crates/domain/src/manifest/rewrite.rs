//! An object as it is made anew: under its new name, with references to the new names of the
//! others.

use kubestash_api::core::ManifestOptions;
use kubestash_api::labels;
use serde_json::{Map, Value, json};

use super::choice::Choice;
use super::inventory::usual_name;
use super::{DatabaseKind, GROUP, Item, Part, Placement, is_set, text};

/// What the objects are rewritten by.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<'a> {
    /// Where everything goes.
    pub placements: &'a [Placement],
    /// What the user wants.
    pub options: &'a ManifestOptions,
    /// Whether the same session restores data into the database that was backed up.
    pub data_follows: bool,
}

impl Rewrite<'_> {
    fn find(&self, of: DatabaseKind, test: impl Fn(&Item) -> bool) -> Option<&Placement> {
        let mut all = self.placements.iter();
        all.find(|placement| placement.source.of == of && test(&placement.source))
    }

    fn database(&self, of: DatabaseKind) -> Option<&Placement> {
        self.find(of, |item| {
            matches!(item.part, Part::Database | Part::External)
        })
    }

    /// The new name of something whose name begins with the name of its database.
    fn renamed(&self, of: DatabaseKind, name: &str) -> Option<String> {
        let database = self.database(of)?;
        let rest = name.strip_prefix(&database.source.name)?;
        let new = &database.target.name;
        rest.starts_with('-').then(|| format!("{new}{rest}"))
    }
}

/// The object at `placement`, made from the cleaned `object` that was backed up.
#[must_use]
pub fn rewrite(object: &Value, placement: &Placement, by: &Rewrite<'_>) -> Value {
    let mut object = object.clone();
    let target = &placement.target;
    object["metadata"]["name"] = json!(target.name);
    object["metadata"]["namespace"] = json!(target.namespace);
    if let Some(instance) = text(&object, &["metadata", "labels", labels::INSTANCE]) {
        let own = by.database(placement.source.of);
        let mut known = by.placements.first().into_iter().chain(own);
        if let Some(renamed) = known.find(|placement| placement.source.name == instance) {
            object["metadata"]["labels"][labels::INSTANCE] = json!(renamed.target.name);
        }
    }
    if placement.source.part == Part::Database
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        database(spec, placement, by);
    }
    object
}

fn database(spec: &mut Map<String, Value>, placement: &Placement, by: &Rewrite<'_>) {
    let of = placement.source.of;
    let choice = Choice::of(of, by.options);
    let is_root = by.placements.first() == Some(placement);
    auth(spec, placement, by);
    settings(spec, of, by);
    beginning(spec, &choice, is_root && by.data_follows);
    if choice.archiver {
        if let (Some(reference), Some(archiver)) = (&choice.archiver_ref, spec.get_mut("archiver"))
        {
            archiver["ref"] = json!(reference);
        }
    } else {
        spec.remove("archiver");
    }
    certificates(spec, of, &choice, by);
    if of == DatabaseKind::Druid {
        let mut needed = by.placements.iter().map(|placement| placement.source.of);
        let is_store =
            |of: &DatabaseKind| matches!(of, DatabaseKind::MySQL | DatabaseKind::Postgres);
        let store = needed.find(is_store).unwrap_or(DatabaseKind::MySQL);
        refer(spec, "metadataStorage", placement, by.database(store));
        let keeper = by.database(DatabaseKind::ZooKeeper);
        refer(spec, "zookeeperRef", placement, keeper);
    }
}

fn auth(spec: &mut Map<String, Value>, placement: &Placement, by: &Rewrite<'_>) {
    let Some(secret) = by.find(placement.source.of, |item| item.part == Part::Auth) else {
        return;
    };
    let name = &secret.target.name;
    let usual = format!("{}-auth", placement.target.name);
    if spec
        .get("authSecret")
        .and_then(|auth| text(auth, &["name"]))
        .is_some()
        || *name != usual
    {
        let auth = spec.entry("authSecret").or_insert_with(|| json!({}));
        auth["name"] = json!(name);
    }
}

fn settings(spec: &mut Map<String, Value>, of: DatabaseKind, by: &Rewrite<'_>) {
    for (field, key) in [("configuration", "secretName"), ("configSecret", "name")] {
        let Some(settings) = spec.get_mut(field) else {
            continue;
        };
        let Some(name) = text(settings, &[key]) else {
            continue;
        };
        let found = by.find(of, |item| item.part == Part::Config && item.name == name);
        if let Some(found) = found {
            settings[key] = json!(found.target.name);
        }
    }
}

/// What happens when the database starts for the first time. It has not been filled yet, whatever
/// the original says, and it is not filled from the original's archive.
fn beginning(spec: &mut Map<String, Value>, choice: &Choice, awaits_data: bool) {
    let mut init = match spec.remove("init") {
        Some(Value::Object(init)) => init,
        _ => Map::new(),
    };
    for key in ["archiver", "initialized", "waitForInitialRestore"] {
        init.remove(key);
    }
    if !choice.init_script {
        init.remove("script");
    }
    if awaits_data {
        init.insert("waitForInitialRestore".to_owned(), json!(true));
        // One that is stopped could not be restored into.
        spec.remove("halted");
    }
    if !init.is_empty() {
        spec.insert("init".to_owned(), Value::Object(init));
    }
}

/// The certificates are made anew by their issuer; those of two databases must not share a Secret.
fn certificates(
    spec: &mut Map<String, Value>,
    of: DatabaseKind,
    choice: &Choice,
    by: &Rewrite<'_>,
) {
    if let Some(issuer) = &choice.issuer {
        let tls = spec.entry("tls").or_insert_with(|| json!({}));
        tls["issuerRef"] = json!(issuer);
    }
    let certificates = spec
        .get_mut("tls")
        .and_then(|tls| tls.get_mut("certificates"))
        .and_then(Value::as_array_mut);
    for certificate in certificates.into_iter().flatten() {
        let new = text(certificate, &["secretName"]).and_then(|name| by.renamed(of, name));
        if let Some(new) = new {
            certificate["secretName"] = json!(new);
        }
    }
    if let Some(keystore) = spec.get_mut("keystoreCredSecret") {
        let new = text(keystore, &["name"]).and_then(|name| by.renamed(of, name));
        if let Some(new) = new {
            keystore["name"] = json!(new);
        }
    }
}

/// Sets a Druid's reference to a database that it needs, unless it would find that one without.
fn refer(
    spec: &mut Map<String, Value>,
    field: &str,
    druid: &Placement,
    needed: Option<&Placement>,
) {
    let Some(needed) = needed else {
        return;
    };
    let target = &needed.target;
    let named = |key| {
        spec.get(field)
            .and_then(|given| text(given, &[key]))
            .is_some()
    };
    let name = named("name") || target.name != usual_name(&druid.target.name, needed.source.of);
    let namespace = named("namespace") || target.namespace != druid.target.namespace;
    if name || namespace {
        let reference = spec.entry(field).or_insert_with(|| json!({}));
        reference["name"] = json!(target.name);
        reference["namespace"] = json!(target.namespace);
    }
}

/// Whose an existing object is that stands where `placement` wants to make one, if it is somebody
/// else's.
#[must_use]
pub fn belongs_to_another(
    existing: &Value,
    placement: &Placement,
    placements: &[Placement],
) -> Option<String> {
    let ours = |kind: &str, name: &str| {
        placements.iter().any(|placement| {
            placement.source.part == Part::Database
                && placement.target.kind() == kind
                && placement.target.name == name
        })
    };
    let owners = existing["metadata"]["ownerReferences"].as_array();
    let controller = owners
        .into_iter()
        .flatten()
        .find(|owner| is_set(owner, &["controller"]));
    if let Some(owner) = controller {
        let get = |key| text(owner, &[key]).unwrap_or_default();
        return (!ours(get("kind"), get("name")))
            .then(|| format!("belongs to {} {}", get("kind"), get("name")));
    }
    let label = |key| text(existing, &["metadata", "labels", key]);
    let by_kubedb = label(labels::MANAGED_BY) == Some(GROUP);
    let owner = label(labels::INSTANCE).filter(|_| by_kubedb);
    if let Some(owner) = owner {
        let kind = label(labels::NAME).and_then(|name| {
            let plural = name.strip_suffix(".kubedb.com")?;
            let mut all = DatabaseKind::ALL.into_iter();
            all.find(|kind| kind.plural() == plural)
        });
        let any = DatabaseKind::ALL
            .into_iter()
            .any(|kind| ours(kind.name(), owner));
        if !kind.map_or(any, |kind| ours(kind.name(), owner)) {
            let kind = kind.map_or("the database", DatabaseKind::name);
            return Some(format!("belongs to {kind} {owner}"));
        }
    }
    lacks(existing, placement)
}

/// The first key of a Secret with user and password that is not there.
fn lacks(existing: &Value, placement: &Placement) -> Option<String> {
    if placement.source.part != Part::Auth {
        return None;
    }
    let has = |key: &str| text(existing, &["data", key]).is_some();
    let missing = ["username", "password"].into_iter().find(|key| !has(key))?;
    Some(format!(
        "has no {missing}, so it is no Secret of a database"
    ))
}
