//! One stored object: its JSON as bytes, and the few fields that every request needs, read once.
//!
//! Objects are kept serialised: a parsed tree takes about ten times the memory, and lists and watches
//! send the bytes as they are.

use std::sync::Arc;

use bytes::Bytes;
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

impl Owner {
    fn read(reference: &Value) -> Self {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        Self {
            api_version: text("apiVersion").into(),
            kind: text("kind").into(),
            name: text("name").into(),
            uid: text("uid").into(),
            blocks_deletion: reference["blockOwnerDeletion"] == true,
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
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
        let json = Bytes::from(serde_json::to_vec(&value)?);
        Ok(Self::assemble(key, revision, &value, json))
    }

    /// Rebuilds an object from the bytes on disk.
    pub(crate) fn from_json(key: Key, json: Bytes) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_slice(&json)?;
        let revision = value["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        Ok(Self::assemble(key, revision, &value, json))
    }

    fn assemble(key: Key, revision: u64, value: &Value, json: Bytes) -> Self {
        let metadata = &value["metadata"];
        Self {
            key,
            revision,
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
            api_version: value["apiVersion"].as_str().unwrap_or_default().into(),
            labels: metadata["labels"].as_object().cloned(),
            finalizers: list(&metadata["finalizers"])
                .filter_map(|one| one.as_str().map(Box::from))
                .collect(),
            owners: list(&metadata["ownerReferences"])
                .map(Owner::read)
                .collect(),
            terminating: metadata["deletionTimestamp"].is_string(),
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
    /// parse all the same, `null` is returned, which every reader treats as an object without fields.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    /// Bytes this version occupies, for the bound of the change log.
    pub(crate) fn size(&self) -> usize {
        self.json.len() + 256
    }
}
