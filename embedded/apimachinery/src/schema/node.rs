//! The compiled form: an arena of nodes, so that schemas that contain themselves (JSONSchemaProps)
//! are finite.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use super::cel;
use super::validation::format::Format;

/// A node's place in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(super) usize);

/// The type that a value must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Type {
    /// Anything.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

impl Type {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "" => Self::Any,
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// As messages name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ListType {
    /// One value, owned as a whole (also when nothing is said).
    #[default]
    Atomic,
    /// Unique scalars.
    Set,
    /// Objects told apart by these fields.
    Map(Vec<String>),
}

/// How a strategic merge patch treats the field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PatchStrategy {
    /// Lists are merged (maps always are).
    pub(crate) merge: bool,
    /// Fields absent from the patch are dropped if the patch says `$retainKeys`.
    pub(crate) retain_keys: bool,
    /// Field that tells the items of a merged list of objects apart.
    pub(crate) merge_key: Option<String>,
}

/// What keys without a property of their own are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Additional {
    /// Nothing is said: they are unknown fields.
    #[default]
    Unsaid,
    /// `true`: any value.
    Any,
    /// `false`: forbidden.
    Forbidden,
    /// A map of values of this kind.
    Of(NodeId),
}

/// One node of a schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) kind: Type,
    pub(crate) nullable: bool,
    pub(crate) properties: BTreeMap<String, NodeId>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<NodeId>,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub(crate) preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`; true of the root as well.
    pub(crate) embedded: bool,
    pub(crate) default: Option<Value>,
    pub(crate) list_type: ListType,
    /// `x-kubernetes-map-type: atomic`.
    pub(crate) atomic: bool,
    pub(crate) patch: PatchStrategy,
    pub(crate) rules: Option<Box<Rules>>,
    pub(crate) cel: Vec<cel::Rule>,
    /// Name of the built-in definition, such as `io.k8s.api.core.v1.PodSpec`.
    pub(crate) definition: Option<Arc<str>>,
    /// `format` as written, for built-in kinds, where it says which Go type a number is.
    pub(crate) go_format: Option<Arc<str>>,
}

/// Value validations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) required: Vec<String>,
    pub(crate) choices: Vec<Value>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) format: Option<Format>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) all_of: Vec<NodeId>,
    pub(crate) any_of: Vec<NodeId>,
    pub(crate) one_of: Vec<NodeId>,
    pub(crate) not: Option<NodeId>,
}

/// A bound of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) exclusive: bool,
}

/// A compiled pattern and how it was written.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) source: String,
    pub(crate) regex: Regex,
}

/// A node together with its arena: what the walkers are given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeRef<'a> {
    pub(super) arena: &'a [Node],
    pub(super) id: NodeId,
}

impl<'a> NodeRef<'a> {
    /// The node itself.
    pub(crate) fn get(self) -> &'a Node {
        // Ids are handed out by the compiler of this very arena.
        &self.arena[self.id.0]
    }

    /// Another node of the same arena.
    pub(crate) fn at(self, id: NodeId) -> NodeRef<'a> {
        NodeRef {
            arena: self.arena,
            id,
        }
    }

    /// The node of a field or map entry, if the schema says anything about it.
    pub(crate) fn field(self, name: &str) -> Option<NodeRef<'a>> {
        let node = self.get();
        match (node.properties.get(name), node.additional) {
            (Some(id), _) => Some(self.at(*id)),
            (None, Additional::Of(id)) => Some(self.at(id)),
            _ => None,
        }
    }

    /// The node of a declared field.
    pub(crate) fn property(self, name: &str) -> Option<NodeRef<'a>> {
        self.get().properties.get(name).map(|id| self.at(*id))
    }

    /// The node of a list's items.
    pub(crate) fn items(self) -> Option<NodeRef<'a>> {
        self.get().items.map(|id| self.at(id))
    }
}
