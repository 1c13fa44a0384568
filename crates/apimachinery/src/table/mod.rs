//! `meta.k8s.io/v1` Table: what `kubectl get` prints.
//!
//! Invariant: the columns are those of real Kubernetes for built-in kinds, and those of the CRD for custom ones.

use jiff::Timestamp;
use serde_json::Value;

/// The columns of one kind.
#[derive(Debug, Clone)]
pub struct Columns {}

/// The query parameter `includeObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Rows carry no object.
    None,
    /// Rows carry a PartialObjectMetadata (the default of the API).
    #[default]
    Metadata,
    /// Rows carry the whole object.
    Object,
}

impl IncludeObject {
    /// Parses the parameter's value; absent or empty is [`IncludeObject::Metadata`]; anything else unknown is `None`.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

impl Columns {
    /// Columns of a built-in kind; Name and Age for one without its own.
    pub fn builtin(group: &str, kind: &str) -> Self {
        let _ = (group, kind);
        todo!()
    }
    /// Columns of a custom resource from `spec.versions[].additionalPrinterColumns` (absent: Name and Age).
    pub fn custom(additional_printer_columns: Option<&Value>) -> Self {
        let _ = additional_printer_columns;
        todo!()
    }
}

/// Renders objects to a Table. `list_metadata` is the ListMeta of the answer (`{"resourceVersion": "7"}`), or of a
/// single object or watch event `{"resourceVersion": …}` of the object. For watch events pass
/// `with_definitions = false` from the second event on, as Kubernetes does.
pub fn render(
    columns: &Columns,
    objects: &[Value],
    list_metadata: &Value,
    include: IncludeObject,
    with_definitions: bool,
    now: Timestamp,
) -> Value {
    let _ = (
        columns,
        objects,
        list_metadata,
        include,
        with_definitions,
        now,
    );
    todo!()
}

/// A duration in whole seconds as kubectl prints ages: `2m23s`, `5h`, `3d2h`.
pub fn human_duration(seconds: i64) -> String {
    let _ = seconds;
    todo!()
}
