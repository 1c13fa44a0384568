//! Sets of field paths, as trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::gofmt::quote;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A field or an entry of a map: `.name`.
    Field(String),
    /// The item of a list of type map with these keys: `[name="a"]`.
    Key(Vec<(String, Scalar)>),
    /// The item of a list of type set: `[="a"]`.
    Value(Scalar),
    /// The item of any other list; only read, never made.
    Index(usize),
}

/// A scalar by its canonical JSON, which orders and compares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scalar(String);

impl Scalar {
    /// `1` and `1.0` are the same.
    pub(super) fn new(value: &Value) -> Self {
        match value.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => {
                Self(format!("{}", float as i64))
            }
            _ => Self(value.to_string()),
        }
    }

    pub(super) fn json(&self) -> &str {
        &self.0
    }

    fn shown(&self) -> String {
        match serde_json::from_str::<Value>(&self.0) {
            Ok(Value::String(text)) => quote(&text),
            _ => self.0.clone(),
        }
    }
}

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self::Field(name.to_string())
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.shown()))
                    .collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={}]", value.shown()),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A set of paths. A path in the set is a member of the node that its other steps lead to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Set {
    pub(super) members: BTreeSet<Element>,
    /// None of them is empty.
    pub(super) children: BTreeMap<Element, Set>,
}

impl Set {
    /// The set of these fields of the root.
    pub(super) fn of_fields(names: &[&str]) -> Self {
        Self {
            members: names.iter().map(|name| Element::field(name)).collect(),
            children: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    pub(super) fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    #[cfg(test)]
    pub(super) fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self
                .children
                .get(first)
                .is_some_and(|child| child.has(rest)),
        }
    }

    pub(super) fn union(&self, other: &Set) -> Set {
        let mut result = self.clone();
        result.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let merged = match result.children.get(element) {
                Some(own) => own.union(child),
                None => child.clone(),
            };
            result.children.insert(element.clone(), merged);
        }
        result
    }

    pub(super) fn intersection(&self, other: &Set) -> Set {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let common = child.intersection(other.children.get(element)?);
            (!common.is_empty()).then(|| (element.clone(), common))
        });
        Set {
            members,
            children: children.collect(),
        }
    }

    /// The paths that are not in the other set; what lies below a path of the other set stays.
    pub(super) fn difference(&self, other: &Set) -> Set {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let rest = match other.children.get(element) {
                Some(other) => child.difference(other),
                None => child.clone(),
            };
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        Set {
            members,
            children: children.collect(),
        }
    }

    /// The paths that are not in the other set, nor below one that is.
    pub(super) fn recursive_difference(&self, other: &Set) -> Set {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter(|(element, _)| !other.members.contains(element));
        let children = children.filter_map(|(element, child)| {
            let rest = match other.children.get(element) {
                Some(other) => child.recursive_difference(other),
                None => child.clone(),
            };
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        Set {
            members,
            children: children.collect(),
        }
    }

    /// All paths, written out.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect(&self, prefix: &str, found: &mut Vec<String>) {
        found.extend(
            self.members
                .iter()
                .map(|element| format!("{prefix}{element}")),
        );
        for (element, child) in &self.children {
            child.collect(&format!("{prefix}{element}"), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(paths: &[&[&str]]) -> Set {
        let mut set = Set::default();
        for path in paths {
            set.insert(&path.iter().map(|p| Element::field(p)).collect::<Vec<_>>());
        }
        set
    }

    #[test]
    fn set_algebra_is_by_path() {
        let a = set(&[&["spec"], &["spec", "x"], &["spec", "y"]]);
        let b = set(&[&["spec", "x"], &["status"]]);
        assert_eq!(
            a.union(&b),
            set(&[&["spec"], &["spec", "x"], &["spec", "y"], &["status"]])
        );
        assert_eq!(a.intersection(&b), set(&[&["spec", "x"]]));
        assert_eq!(a.difference(&b), set(&[&["spec"], &["spec", "y"]]));
        assert_eq!(
            a.difference(&set(&[&["spec"]])),
            set(&[&["spec", "x"], &["spec", "y"]])
        );
        assert_eq!(a.recursive_difference(&set(&[&["spec"]])), Set::default());
        assert!(a.has(&[Element::field("spec"), Element::field("y")]));
    }

    #[test]
    fn paths_are_written_as_kubectl_shows_them() {
        let key = Element::Key(vec![
            ("name".into(), Scalar::new(&json!("a"))),
            ("port".into(), Scalar::new(&json!(1.0))),
        ]);
        let mut set = Set::default();
        set.insert(&[Element::field("list"), key, Element::field("x")]);
        set.insert(&[
            Element::field("set"),
            Element::Value(Scalar::new(&json!("v"))),
        ]);
        assert_eq!(
            set.paths(),
            [r#".list[name="a",port=1].x"#, r#".set[="v"]"#]
        );
    }
}
