//! Structural schemas: defaulting, pruning, validation, and the shape that patches and field
//! ownership follow.
//!
//! One compiled form serves custom resources (from their CRD) and built-in kinds (from k8s-openapi
//! plus a table of the list types, merge keys and constant defaults of Kubernetes), so that every
//! rule is written once.

pub(crate) mod builtin;
mod cel;
mod compile;
mod crd;
mod defaulting;
pub(crate) mod node;
mod pruning;
mod regular;
mod types;
mod validation;

use std::sync::Arc;

use compile::Compiler;
pub use crd::{check_changed_crd, check_crd, check_crd_update, crd_status, prepare_crd};
use node::{Node, NodeId, NodeRef};
use serde_json::Value;

use crate::field::FieldError;

/// Why a schema cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A keyword has a value that a structural schema does not allow.
    #[error(
        "failed to compile the schema: {0}; correct spec.versions[].schema.openAPIV3Schema of the CRD"
    )]
    NotStructural(#[source] Box<FieldError>),
}

impl SchemaError {
    /// Stable category of the error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotStructural(_) => "SchemaNotStructural",
        }
    }
}

/// What keeps a schema from being compiled.
type Flaw = Box<FieldError>;

/// A compiled schema of one version of one kind. Cheap to clone, expensive to compile: keep it.
#[derive(Debug, Clone)]
pub struct Schema {
    arena: Arc<[Node]>,
    root: NodeId,
    /// Whether it is that of a custom resource.
    custom: bool,
}

impl Schema {
    /// Compiles `spec.versions[].schema.openAPIV3Schema` of a CRD. `metadata` gets the shape of
    /// ObjectMeta.
    ///
    /// # Errors
    /// When it is not structural or a CEL rule or pattern does not compile; see [`check_crd`] for
    /// all findings at once.
    pub fn compile(open_api_v3_schema: &Value) -> Result<Self, SchemaError> {
        let mut compiler = Compiler::new(Some(builtin::definitions()));
        let root = compiler
            .custom(open_api_v3_schema)
            .map_err(SchemaError::NotStructural)?;
        Ok(Self {
            arena: compiler.finish().into(),
            root,
            custom: true,
        })
    }

    /// The schema of a built-in kind; `None` if it is none of those of `ResourceInfo::builtins` and
    /// their subresources.
    pub fn builtin(group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
        builtin::schema(group, version, kind)
    }

    /// Fills in `default`s of absent fields, and drops nulls of fields that are not nullable.
    /// Idempotent. Defaults of built-in kinds that depend on other fields are filled in by
    /// [`crate::strategy::apply_defaults`].
    pub fn apply_defaults(&self, object: &mut Value) {
        defaulting::apply(object, self.root());
    }

    /// Removes the fields that the schema does not know and returns their paths (`spec.foo`,
    /// `spec.list[0].x`), sorted. Idempotent.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        pruning::prune(object, self.root())
    }

    /// The first value of the wrong type in a built-in kind (all of it) or a custom resource (its
    /// metadata), worded as Go's decoder words it: `json: cannot unmarshal string into Go
    /// struct field JobSpec.spec.backoffLimit of type int32`. Kubernetes refuses such objects
    /// with 400 before anything else: see [`crate::decode::check_types`].
    pub(crate) fn type_mismatch(&self, object: &Value) -> Option<String> {
        types::mismatch(object, self.root(), self.custom)
    }

    /// All that is wrong with a custom resource: types, required, enums, bounds, patterns, formats,
    /// set and map uniqueness and CEL rules; `old` is the stored object of an update
    /// (transition rules, and ratcheting: what was wrong before in an unchanged field is let
    /// through). For built-in kinds nothing: their rules are in [`crate::strategy`].
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        if self.custom {
            validation::validate(object, old, self.root())
        } else {
            Vec::new()
        }
    }

    /// Whether it has rules in CEL, which may take long to evaluate.
    pub fn has_rules(&self) -> bool {
        cel::has_rules(self.root())
    }

    /// The node of the whole object.
    pub(crate) fn root(&self) -> NodeRef<'_> {
        NodeRef {
            arena: &self.arena,
            id: self.root,
        }
    }
}
