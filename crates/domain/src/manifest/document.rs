//! The bytes of a backup of manifests: a `List` as JSON, which is YAML as well, so that
//! `restic dump latest /kubestash-tmp/manifest | kubectl apply -f -` works.

use std::fmt;

use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::{DatabaseKind, Item, Part, clean, inventory, text};

/// Objects that may hold passwords: not shown, and wiped from memory at the end.
#[derive(Clone, PartialEq)]
pub struct Document {
    objects: Vec<Value>,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON.
    #[error(
        "failed to read the manifests: they are not what kubestash writes (line {line}); restore another Snapshot"
    )]
    Syntax {
        /// Where.
        line: usize,
    },
    /// It is JSON and no list of objects.
    #[error(
        "failed to read the manifests: they are not a List of objects with kind, name and namespace; restore another Snapshot"
    )]
    NoList,
    /// It has no database.
    #[error("failed to read the manifests: no database is among them; restore another Snapshot")]
    NoDatabase,
}

impl DocumentError {
    /// Stable name of the kind of error.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        "ManifestUnreadable"
    }
}

impl Document {
    /// A document of these objects, cleaned, in the given order.
    #[must_use]
    pub fn new(objects: &[Value]) -> Self {
        Self {
            objects: objects.iter().map(clean).collect(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it is no list of objects.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let mut list: Value = serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::Syntax { line: error.line() })?;
        let objects = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(objects)) => objects,
            _ => return Err(DocumentError::NoList),
        };
        let document = Self { objects };
        let paths: [&[&str]; 4] = [
            &["apiVersion"],
            &["kind"],
            &["metadata", "name"],
            &["metadata", "namespace"],
        ];
        let whole = |object: &Value| paths.iter().all(|path| text(object, path).is_some());
        match document.objects.iter().all(whole) {
            true => Ok(document),
            false => Err(DocumentError::NoList),
        }
    }

    /// The bytes: the same for the same objects.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut list = json!({"apiVersion": "v1", "kind": "List"});
        list["items"] = Value::Array(self.objects.clone());
        let mut bytes = Zeroizing::new(format!("{list:#}").into_bytes());
        wipe(&mut list);
        bytes.push(b'\n');
        bytes
    }

    /// The objects.
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The object that an item of the inventory names.
    #[must_use]
    pub fn find(&self, item: &Item) -> Option<&Value> {
        self.objects.iter().find(|object| item.is(object))
    }

    /// What the document holds, and what the databases in it name beyond that.
    ///
    /// # Errors
    /// If no database is in it.
    pub fn inventory(&self) -> Result<Vec<Item>, DocumentError> {
        let kind_of = |object: &Value| {
            let api_version = text(object, &["apiVersion"])?;
            let (group, _) = api_version.split_once('/')?;
            DatabaseKind::of(group, text(object, &["kind"])?)
        };
        let databases = || {
            let all = self.objects.iter();
            all.filter_map(|object| Some((kind_of(object)?, object)))
        };
        let druid = databases().find(|(kind, _)| *kind == DatabaseKind::Druid);
        let (kind, root) = druid
            .or_else(|| databases().next())
            .ok_or(DocumentError::NoDatabase)?;
        Ok(inventory(kind, root, |item| {
            (item.part == Part::Database).then(|| self.find(item))?
        }))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        self.objects.iter_mut().for_each(wipe);
    }
}

/// Overwrites every text.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}
