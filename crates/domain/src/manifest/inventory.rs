//! Which objects belong to a database.

use std::fmt;

use kubestash_api::kubedb::MetadataStorageType;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DatabaseKind, GROUP, is_set, text};
use crate::target::metadata_suffix;

/// What an object is to its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The database itself.
    Database,
    /// The Secret with user and password.
    Auth,
    /// The Secret with settings.
    Config,
    /// The Secret with the settings of a Druid's deep storage.
    DeepStorage,
    /// The ConfigMap with the script that fills a new database.
    InitConfigMap,
    /// The Secret with that script.
    InitSecret,
    /// The AppBinding of a metadata store that somebody else keeps: known, and not restored.
    External,
}

/// An object: where it is, and what it is to which kind of database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// The kind of the database it belongs to.
    pub of: DatabaseKind,
    /// What it is to that database.
    pub part: Part,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Item {
    /// API group of the object.
    #[must_use]
    pub fn group(&self) -> &'static str {
        match self.part {
            Part::Database => GROUP,
            Part::External => "appcatalog.appscode.com",
            _ => "",
        }
    }

    /// Kind of the object.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.part {
            Part::Database => self.of.name(),
            Part::InitConfigMap => "ConfigMap",
            Part::External => "AppBinding",
            Part::Auth | Part::Config | Part::DeepStorage | Part::InitSecret => "Secret",
        }
    }

    /// The object's resource, as RBAC and addresses spell it.
    #[must_use]
    pub fn plural(&self) -> &'static str {
        match self.kind() {
            "ConfigMap" => "configmaps",
            "AppBinding" => "appbindings",
            "Secret" => "secrets",
            _ => self.of.plural(),
        }
    }

    /// Whether this is the object with that kind, namespace and name.
    #[must_use]
    pub fn is(&self, object: &Value) -> bool {
        let api_version = text(object, &["apiVersion"]).unwrap_or_default();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.group() == group
            && text(object, &["kind"]) == Some(self.kind())
            && text(object, &["metadata", "name"]) == Some(self.name.as_str())
            && text(object, &["metadata", "namespace"]) == Some(self.namespace.as_str())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind(), self.namespace, self.name)
    }
}

/// An object that a database names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The object.
    pub item: Item,
    /// The field that names it; none if only its usual name is known, so that it may well be
    /// missing.
    pub named_by: Option<&'static str>,
}

fn key(object: &Value) -> (String, String) {
    let get = |key| {
        text(object, &["metadata", key])
            .unwrap_or_default()
            .to_owned()
    };
    (get("namespace"), get("name"))
}

/// The Secrets and ConfigMaps of a database of this kind. A name that is there twice is listed
/// once.
#[must_use]
pub fn members(kind: DatabaseKind, database: &Value) -> Vec<Member> {
    let (namespace, name) = key(database);
    let mut found: Vec<Member> = Vec::new();
    let mut add = |part, name: &str, named_by| {
        let item = Item {
            of: kind,
            part,
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        let same =
            |known: &Member| known.item.kind() == item.kind() && known.item.name == item.name;
        if !found.iter().any(same) {
            found.push(Member { item, named_by });
        }
    };
    let auth = &database["spec"]["authSecret"];
    // Other kinds of secrets belong to a store of secrets, which has its own way to be restored.
    if text(auth, &["kind"]).is_none_or(|kind| kind == "Secret") {
        match text(auth, &["name"]) {
            Some(name) => add(Part::Auth, name, Some("spec.authSecret.name")),
            None => add(Part::Auth, &format!("{name}-auth"), None),
        }
    }
    let fields: [(Part, &[&str], &str); 5] = [
        (
            Part::Config,
            &["spec", "configuration", "secretName"],
            "spec.configuration.secretName",
        ),
        (
            Part::Config,
            &["spec", "configSecret", "name"],
            "spec.configSecret.name",
        ),
        (
            Part::DeepStorage,
            &["spec", "deepStorage", "configSecret", "name"],
            "spec.deepStorage.configSecret.name",
        ),
        (
            Part::InitConfigMap,
            &["spec", "init", "script", "configMap", "name"],
            "spec.init.script.configMap.name",
        ),
        (
            Part::InitSecret,
            &["spec", "init", "script", "secret", "secretName"],
            "spec.init.script.secret.secretName",
        ),
    ];
    for (part, path, field) in fields {
        if let Some(name) = text(database, path) {
            add(part, name, Some(field));
        }
    }
    found
}

/// The databases that a Druid needs: its metadata store and its ZooKeeper. What somebody else keeps
/// is not the Druid's; of such a metadata store the AppBinding is listed, because the data is
/// reached by it.
#[must_use]
pub fn dependencies(druid: &Value) -> Vec<Item> {
    let (own, name) = key(druid);
    let (storage, keeper) = (
        &druid["spec"]["metadataStorage"],
        &druid["spec"]["zookeeperRef"],
    );
    let of = match text(storage, &["type"]) {
        Some("PostgreSQL") => DatabaseKind::Postgres,
        _ => DatabaseKind::MySQL,
    };
    let item = |of, reference: &Value| Item {
        of,
        part: Part::Database,
        namespace: text(reference, &["namespace"]).unwrap_or(&own).to_owned(),
        name: text(reference, &["name"]).map_or_else(|| usual_name(&name, of), ToOwned::to_owned),
    };
    let mut found = vec![item(of, storage)];
    if is_set(storage, &["externallyManaged"]) {
        found[0].part = Part::External;
    }
    if !is_set(keeper, &["externallyManaged"]) {
        found.push(item(DatabaseKind::ZooKeeper, keeper));
    }
    found
}

/// The name of a database that is made for a Druid.
pub(super) fn usual_name(druid: &str, of: DatabaseKind) -> String {
    let suffix = match of {
        DatabaseKind::Postgres => metadata_suffix(MetadataStorageType::PostgreSQL),
        DatabaseKind::ZooKeeper => "zk",
        _ => metadata_suffix(MetadataStorageType::MySQL),
    };
    format!("{druid}-{suffix}")
}

/// All objects of a database, itself first, then what it needs, then Secrets and ConfigMaps. `find`
/// looks the databases up that it needs; of one that is not found only itself is listed.
pub fn inventory<'a>(
    kind: DatabaseKind,
    database: &Value,
    find: impl Fn(&Item) -> Option<&'a Value>,
) -> Vec<Item> {
    let (namespace, name) = key(database);
    let root = Item {
        of: kind,
        part: Part::Database,
        namespace,
        name,
    };
    let needed = match kind {
        DatabaseKind::Druid => dependencies(database),
        _ => Vec::new(),
    };
    let of_root = members(kind, database);
    let of_needed = needed
        .iter()
        .filter_map(|item| Some(members(item.of, find(item)?)));
    let rest: Vec<Item> = of_root
        .into_iter()
        .chain(of_needed.flatten())
        .map(|member| member.item)
        .collect();
    [root].into_iter().chain(needed).chain(rest).collect()
}
