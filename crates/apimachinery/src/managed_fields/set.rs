//! Sets of fields, as `fieldsV1` encodes them.
//!
//! A set is a tree. An element is a field (`f:name`), an item of a list by its keys (`k:{"name":"x"}`) or by its
//! value (`v:"x"`). An element is a member of the set itself, or only leads to members below it.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    elements: BTreeMap<String, Element>,
}

/// One element of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Element {
    member: bool,
    below: FieldSet,
}

impl Element {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// Key of a field.
pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

impl FieldSet {
    pub(super) fn is_empty(&self) -> bool {
        self.elements.values().all(Element::is_empty)
    }

    /// Reads `fieldsV1`; what is not an object is an empty set.
    pub(super) fn decode(value: &Value) -> Self {
        let mut set = Self::default();
        for (key, below) in value.as_object().into_iter().flatten() {
            if key == "." {
                continue;
            }
            let is_leaf = below.as_object().is_none_or(Map::is_empty);
            let element = Element {
                member: is_leaf || below.get(".").is_some(),
                below: Self::decode(below),
            };
            set.elements.insert(key.clone(), element);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(super) fn encode(&self) -> Value {
        let mut map = Map::new();
        for (key, element) in &self.elements {
            if element.is_empty() {
                continue;
            }
            let mut below = element.below.encode();
            if element.member && !element.below.is_empty() {
                let inner = below
                    .as_object_mut()
                    .map(std::mem::take)
                    .unwrap_or_default();
                let dot = [(".".to_owned(), Value::Object(Map::new()))];
                below = Value::Object(dot.into_iter().chain(inner).collect());
            }
            map.insert(key.clone(), below);
        }
        Value::Object(map)
    }

    /// Adds the element `key` itself.
    pub(super) fn insert(&mut self, key: String) {
        self.elements.entry(key).or_default().member = true;
    }

    /// Adds everything in `below` under the element `key`.
    pub(super) fn insert_below(&mut self, key: String, below: Self) {
        if !below.is_empty() {
            let element = self.elements.entry(key).or_default();
            element.below = std::mem::take(&mut element.below).union(below);
        }
    }

    /// Whether the element `key` itself is in the set.
    pub(super) fn has(&self, key: &str) -> bool {
        self.elements.get(key).is_some_and(|element| element.member)
    }

    /// What is in the set under the element `key`.
    pub(super) fn below(&self, key: &str) -> Option<&Self> {
        self.elements.get(key).map(|element| &element.below)
    }

    /// Whether the element `key` or anything under it is in the set.
    pub(super) fn touches(&self, key: &str) -> bool {
        self.elements
            .get(key)
            .is_some_and(|element| !element.is_empty())
    }

    /// The elements at the top.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.elements.keys()
    }

    pub(super) fn union(mut self, other: Self) -> Self {
        for (key, element) in other.elements {
            let mine = self.elements.entry(key).or_default();
            mine.member |= element.member;
            mine.below = std::mem::take(&mut mine.below).union(element.below);
        }
        self
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let both = |key: &String, mine: &Element| {
            let theirs = other.elements.get(key)?;
            let element = Element {
                member: mine.member && theirs.member,
                below: mine.below.intersection(&theirs.below),
            };
            (!element.is_empty()).then(|| (key.clone(), element))
        };
        Self {
            elements: self
                .elements
                .iter()
                .filter_map(|(key, mine)| both(key, mine))
                .collect(),
        }
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        let left = |key: &String, mine: &Element| {
            let element = match other.elements.get(key) {
                None => mine.clone(),
                Some(theirs) => Element {
                    member: mine.member && !theirs.member,
                    below: mine.below.difference(&theirs.below),
                },
            };
            (!element.is_empty()).then(|| (key.clone(), element))
        };
        Self {
            elements: self
                .elements
                .iter()
                .filter_map(|(key, mine)| left(key, mine))
                .collect(),
        }
    }

    /// Without what nobody owns: the identity of the object, and what only the server writes.
    pub(super) fn without_identity(mut self) -> Self {
        for name in ["apiVersion", "kind"] {
            self.elements.remove(&field(name));
        }
        if let Some(metadata) = self.elements.get_mut("f:metadata") {
            metadata.member = false;
            for name in [
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            ] {
                metadata.below.elements.remove(&field(name));
            }
        }
        self.elements.retain(|_, element| !element.is_empty());
        self
    }

    /// All members as paths for people: `.spec.containers[name="c"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for (key, element) in &self.elements {
            let path = format!("{prefix}{}", readable(key));
            if element.member {
                paths.push(path.clone());
            }
            element.below.collect_paths(&path, paths);
        }
    }
}

/// An element for people.
fn readable(key: &str) -> String {
    match key.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", pairs.join(","))
        }
        _ => format!("[{key}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_survive_decoding_and_encoding_and_read_well() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}, "f:finalizers": {"v:\"x\"": {}}},
        });
        let set = FieldSet::decode(&fields);
        assert_eq!(set.encode(), fields);
        assert_eq!(
            set.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.app",
                ".spec.containers[name=\"c\"]",
                ".spec.containers[name=\"c\"].image",
                ".spec.finalizers[=\"x\"]"
            ]
        );
        assert!(set.difference(&set).is_empty());
        assert_eq!(set.intersection(&set), set);
        assert_eq!(set.clone().union(set.clone()), set);
    }
}
