//! What is served: the built-in kinds, and those of the CustomResourceDefinitions in the store.
//!
//! Invariant: the catalogue is replaced, never changed; a request sees one state of it from routing
//! to answer. It follows the store in the same step that makes a CustomResourceDefinition visible,
//! so a definition that has been acknowledged is served.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use kubestash_apimachinery::table::Columns;
use kubestash_apimachinery::{ResourceInfo, Schema, Status, openapi, selector};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::Refused;
use crate::store::{Change, ChangeKind, GroupResource, Key, Object, Store};

/// The group of CustomResourceDefinitions.
pub(crate) const APIEXTENSIONS: &str = "apiextensions.k8s.io";

/// CustomResourceDefinitions as a resource.
pub(crate) fn crds() -> GroupResource {
    GroupResource::new(APIEXTENSIONS, "customresourcedefinitions")
}

/// One version of a resource, as it is served.
pub(crate) struct Served {
    /// Names, verbs and subresources.
    pub(crate) info: ResourceInfo,
    /// Where its objects are stored; all versions of a resource share one place.
    pub(crate) storage: GroupResource,
    /// The `apiVersion` in which its objects are stored.
    pub(crate) storage_api_version: String,
    /// Columns of its tables.
    pub(crate) columns: Columns,
    /// Fields that can be selected on besides name and namespace.
    pub(crate) selectable: Vec<String>,
    /// Set for a custom resource.
    definition: Option<Definition>,
}

struct Definition {
    /// Name of the CustomResourceDefinition.
    name: String,
    /// Where the schema is. It is large: it is parsed to be compiled or shown, and not kept.
    source: Arc<Object>,
    compiled: OnceLock<Result<Schema, String>>,
    /// Fires when the resource is served no more.
    gone: CancellationToken,
}

impl Served {
    /// A built-in kind.
    fn builtin(info: ResourceInfo) -> Self {
        // Both Event APIs are views of the same objects.
        let (storage, storage_api_version) = if info.group == "events.k8s.io" {
            (GroupResource::new("", "events"), "v1".to_owned())
        } else {
            (
                GroupResource::new(&info.group, &info.plural),
                info.api_version(),
            )
        };
        Self {
            columns: Columns::builtin(&info.group, &info.kind),
            selectable: selector::supported_fields(&info.group, &info.kind),
            storage,
            storage_api_version,
            info,
            definition: None,
        }
    }

    /// Whether it comes from a CustomResourceDefinition.
    pub(crate) fn is_custom(&self) -> bool {
        self.definition.is_some()
    }

    /// Whether it is the built-in `resource` of `group`.
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.info.group == group && self.info.plural == resource
    }

    /// Its schema; that of a custom resource is compiled on first use.
    pub(crate) fn schema(&self) -> Result<&Schema, Refused> {
        let Some(definition) = &self.definition else {
            return Schema::builtin(&self.info.group, &self.info.version, &self.info.kind)
                .ok_or_else(|| {
                    Box::new(Status::internal(format!(
                        "no schema of {}",
                        self.info.group_kind()
                    )))
                });
        };
        definition
            .compiled
            .get_or_init(|| {
                Schema::compile(&definition.schema(&self.info.version))
                    .map_err(|error| error.to_string())
            })
            .as_ref()
            .map_err(|why| Box::new(Status::internal(format!("{}: {why}", definition.name))))
    }

    /// Waits until the resource is served no more; for built-in kinds for ever.
    pub(crate) async fn gone(&self) {
        match &self.definition {
            Some(definition) => definition.gone.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// The key of one of its objects.
    pub(crate) fn key(&self, namespace: Option<&str>, name: &str) -> Key {
        Key::new(&self.storage, namespace.unwrap_or_default(), name)
    }
}

/// All that is served.
pub(crate) struct Catalogue {
    /// Counts the replacements: documents derived from a catalogue are kept by it.
    pub(crate) generation: u64,
    served: Vec<Arc<Served>>,
    by_path: HashMap<(String, String, String), Arc<Served>>,
    /// The versions that come from each CustomResourceDefinition.
    custom: HashMap<String, Vec<Arc<Served>>>,
}

impl Catalogue {
    /// The built-in kinds and the definitions in the store.
    pub(crate) fn new(store: &Store) -> Self {
        let mut custom = HashMap::new();
        for crd in store.list(&crds(), None).objects {
            custom.insert(crd.key.name().to_owned(), custom_resources(&crd, &[]));
        }
        let builtins = ResourceInfo::builtins()
            .into_iter()
            .map(|info| Arc::new(Served::builtin(info)));
        Self::assemble(1, builtins.collect(), custom)
    }

    fn assemble(
        generation: u64,
        builtins: Vec<Arc<Served>>,
        custom: HashMap<String, Vec<Arc<Served>>>,
    ) -> Self {
        let mut served = builtins;
        let mut names: Vec<&String> = custom.keys().collect();
        names.sort_unstable();
        for name in names {
            served.extend(custom[name].iter().cloned());
        }
        let path = |served: &Arc<Served>| {
            let info = &served.info;
            (
                info.group.clone(),
                info.version.clone(),
                info.plural.clone(),
            )
        };
        Self {
            generation,
            by_path: served.iter().map(|one| (path(one), one.clone())).collect(),
            served,
            custom,
        }
    }

    /// The catalogue after changes of the store, `None` if they do not concern it.
    pub(crate) fn follow(&self, changes: &[Change]) -> Option<Self> {
        let definitions = crds();
        let mut custom = None;
        for change in changes {
            let object = &change.object;
            if object.key.resource != definitions {
                continue;
            }
            let custom = custom.get_or_insert_with(|| self.custom.clone());
            let before = custom.remove(object.key.name()).unwrap_or_default();
            let after = match change.kind {
                ChangeKind::Deleted => Vec::new(),
                _ if serves_the_same(change) => before.clone(),
                ChangeKind::Created | ChangeKind::Updated => custom_resources(object, &before),
            };
            for served in &before {
                let kept = after
                    .iter()
                    .any(|one| one.info.version == served.info.version);
                if let (false, Some(definition)) = (kept, &served.definition) {
                    definition.gone.cancel();
                }
            }
            if !after.is_empty() || change.kind != ChangeKind::Deleted {
                custom.insert(object.key.name().to_owned(), after);
            }
        }
        let builtins = self.served.iter().filter(|one| !one.is_custom()).cloned();
        custom.map(|custom| Self::assemble(self.generation + 1, builtins.collect(), custom))
    }

    /// The resource at `/apis/{group}/{version}/…/{resource}`.
    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        self.by_path
            .get(&(group.to_owned(), version.to_owned(), resource.to_owned()))
    }

    /// The resource of a kind, as an owner reference names it.
    pub(crate) fn find_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Served>> {
        self.served
            .iter()
            .find(|one| one.info.kind == kind && one.info.api_version() == api_version)
    }

    /// The resource whose objects are in `storage`, in the version they are stored in if that is
    /// served.
    pub(crate) fn stored(&self, storage: &GroupResource) -> Option<&Arc<Served>> {
        let mut versions = self.served.iter().filter(|one| one.storage == *storage);
        let first = versions.next()?;
        if first.info.api_version() == first.storage_api_version {
            return Some(first);
        }
        versions
            .find(|one| one.info.api_version() == one.storage_api_version)
            .or(Some(first))
    }

    /// All versions of the resource whose objects are in `storage`.
    pub(crate) fn versions<'a>(
        &'a self,
        storage: &'a GroupResource,
    ) -> impl Iterator<Item = &'a Arc<Served>> {
        self.served
            .iter()
            .filter(move |one| one.storage == *storage)
    }

    /// What is served, for discovery.
    pub(crate) fn resources(&self) -> Vec<ResourceInfo> {
        self.served.iter().map(|one| one.info.clone()).collect()
    }

    /// What is served other than by the CustomResourceDefinition `name`: the names it must not
    /// take.
    pub(crate) fn taken_beside(&self, name: &str) -> Vec<ResourceInfo> {
        let other = |one: &&Arc<Served>| one.definition.as_ref().is_none_or(|d| d.name != name);
        self.served
            .iter()
            .filter(other)
            .map(|one| one.info.clone())
            .collect()
    }

    /// The groups and versions that are served.
    pub(crate) fn group_versions(&self) -> BTreeSet<(&str, &str)> {
        self.served
            .iter()
            .map(|one| (one.info.group.as_str(), one.info.version.as_str()))
            .collect()
    }

    /// Gives `document` what is served with its schemas, for OpenAPI; of all, or of one group and
    /// version.
    pub(crate) fn documented<R>(
        &self,
        only: Option<(&str, &str)>,
        document: impl FnOnce(&[openapi::Served<'_>]) -> R,
    ) -> R {
        let wanted = |one: &&Arc<Served>| {
            only.is_none_or(|(group, version)| {
                one.info.group == group && one.info.version == version
            })
        };
        let served: Vec<&Arc<Served>> = self.served.iter().filter(wanted).collect();
        let schemas: Vec<Option<Value>> = served
            .iter()
            .map(|one| Some(one.definition.as_ref()?.schema(&one.info.version)))
            .collect();
        let documented: Vec<openapi::Served<'_>> = served
            .iter()
            .zip(&schemas)
            .map(|(one, schema)| openapi::Served {
                info: &one.info,
                schema: schema.as_ref(),
            })
            .collect();
        document(&documented)
    }
}

impl Definition {
    /// `spec.versions[].schema.openAPIV3Schema` of a version.
    fn schema(&self, version: &str) -> Value {
        let mut crd = self.source.value();
        crd["spec"]["versions"]
            .as_array_mut()
            .and_then(|versions| versions.iter_mut().find(|one| one["name"] == version))
            .map(|version| version["schema"]["openAPIV3Schema"].take())
            .unwrap_or_default()
    }
}

/// A CustomResourceDefinition without its schemas, which are nearly all of it.
#[derive(Deserialize, Serialize)]
struct Outline {
    metadata: Value,
    spec: OutlineSpec,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize, Serialize)]
struct OutlineSpec {
    versions: Vec<OutlineVersion>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Serialize)]
struct OutlineVersion {
    #[serde(default, skip_serializing)]
    #[allow(dead_code, reason = "named to be skipped")]
    schema: IgnoredAny,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The outline of a definition; null if it is malformed, and then it serves nothing.
fn outline(crd: &Object) -> Value {
    serde_json::from_slice::<Outline>(&crd.json)
        .and_then(serde_json::to_value)
        .unwrap_or_default()
}

/// Whether an update of a CustomResourceDefinition leaves what is served as it was.
fn serves_the_same(change: &Change) -> bool {
    let Some(previous) = &change.previous else {
        return false;
    };
    let (old, new) = (previous.value(), change.object.value());
    old["spec"] == new["spec"]
        && is_established(&old) == is_established(&new)
        && old["status"]["acceptedNames"] == new["status"]["acceptedNames"]
}

fn is_established(crd: &Value) -> bool {
    crd["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// The versions that a definition serves; `before` are those it served so far, whose watches go on.
fn custom_resources(crd: &Arc<Object>, before: &[Arc<Served>]) -> Vec<Arc<Served>> {
    let value = outline(crd);
    if !is_established(&value) {
        return Vec::new();
    }
    let versions = value["spec"]["versions"].as_array();
    let version = |name: &str| versions?.iter().find(|version| version["name"] == *name);
    let storage_version = versions
        .and_then(|versions| versions.iter().find(|version| version["storage"] == true))
        .and_then(|version| version["name"].as_str())
        .unwrap_or_default();
    ResourceInfo::from_crd(&value)
        .into_iter()
        .map(|info| {
            let version = version(&info.version).unwrap_or(&Value::Null);
            Arc::new(Served {
                storage: GroupResource::new(&info.group, &info.plural),
                storage_api_version: format!("{}/{storage_version}", info.group),
                columns: Columns::custom(version.get("additionalPrinterColumns")),
                selectable: selectable_fields(version),
                definition: Some(Definition {
                    name: crd.key.name().to_owned(),
                    source: crd.clone(),
                    compiled: OnceLock::new(),
                    gone: before
                        .iter()
                        .find(|one| one.info.version == info.version)
                        .and_then(|one| Some(one.definition.as_ref()?.gone.clone()))
                        .unwrap_or_default(),
                }),
                info,
            })
        })
        .collect()
}

/// `selectableFields[].jsonPath` without the leading dot, as selectors name them.
fn selectable_fields(version: &Value) -> Vec<String> {
    version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|field| field["jsonPath"].as_str())
        .map(|path| path.trim_start_matches('.').to_owned())
        .collect()
}
