//! One stored object: its JSON as bytes, and the few fields that every request needs, read once.
//!
//! Objects are kept serialised: a parsed tree takes about ten times the memory, and lists and
//! watches send the bytes as they are.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::key::Key;

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// `apiVersion` of the owner.
    pub api_version: Box<str>,
    /// Kind of the owner.
    pub kind: Box<str>,
    /// Name of the owner.
    pub name: Box<str>,
    /// UID of the owner.
    pub uid: Arc<str>,
    /// Whether a foreground deletion of the owner waits for this object.
    pub blocks_deletion: bool,
}

/// The part of an object that is read into fields; everything else is skipped without being built
/// up.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    api_version: Box<str>,
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: Box<str>,
    uid: Box<str>,
    labels: Option<Map<String, Value>>,
    finalizers: Option<Vec<Option<Box<str>>>>,
    owner_references: Option<Vec<Option<OwnerReference>>>,
    deletion_timestamp: Option<Box<str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct OwnerReference {
    api_version: Box<str>,
    kind: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    block_owner_deletion: Option<bool>,
}

impl From<OwnerReference> for Owner {
    fn from(reference: OwnerReference) -> Self {
        Self {
            api_version: reference.api_version,
            kind: reference.kind,
            name: reference.name,
            uid: reference.uid.into(),
            blocks_deletion: reference.block_owner_deletion == Some(true),
        }
    }
}

/// An immutable version of an object.
#[derive(Debug)]
pub(crate) struct Object {
    /// Where it is stored.
    pub key: Key,
    /// Its resourceVersion. For the last state in a deletion: the revision of the deletion.
    pub revision: u64,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `apiVersion` it is stored in.
    pub api_version: Arc<str>,
    /// `metadata.labels`.
    pub labels: Option<Map<String, Value>>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<Box<str>>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<Owner>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// The whole object, resourceVersion included. Secrets are in here: never log it.
    pub json: Bytes,
}

impl Object {
    /// Builds the version `revision` of an object, writing the resourceVersion into it.
    pub(crate) fn new(
        key: Key,
        revision: u64,
        mut value: Value,
    ) -> Result<Self, serde_json::Error> {
        value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        // In a box: what a growing buffer has left over would stay as long as the object.
        let json = Bytes::from(serde_json::to_vec(&value)?.into_boxed_slice());
        let head = Head::deserialize(&value)?;
        Ok(Self::assemble(key, revision, head, json))
    }

    /// Rebuilds an object from the bytes on disk.
    pub(crate) fn from_json(key: Key, json: Bytes) -> Result<Self, serde_json::Error> {
        let head: Head = serde_json::from_slice(&json)?;
        let revision = head.metadata.resource_version.parse().unwrap_or_default();
        Ok(Self::assemble(key, revision, head, json))
    }

    fn assemble(key: Key, revision: u64, head: Head, json: Bytes) -> Self {
        let metadata = head.metadata;
        // A null in a list of Go's strings or structs is an empty one, and means nothing.
        let finalizers = metadata.finalizers.unwrap_or_default();
        let owners = metadata.owner_references.unwrap_or_default();
        Self {
            key,
            revision,
            uid: metadata.uid.into(),
            api_version: head.api_version.into(),
            labels: metadata.labels,
            finalizers: finalizers.into_iter().flatten().collect(),
            owners: owners.into_iter().flatten().map(Owner::from).collect(),
            terminating: metadata.deletion_timestamp.is_some(),
            json,
        }
    }

    /// Whether the object has a finalizer of that name.
    pub(crate) fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|one| &**one == name)
    }

    /// The parsed object.
    ///
    /// The bytes were serialised from a `Value` by this process or its predecessor; should they not
    /// parse all the same, `null` is returned, which every reader treats as an object without
    /// fields.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    /// Bytes this version occupies, for the bound of the change log.
    pub(crate) fn size(&self) -> usize {
        self.json.len() + 256
    }
}
