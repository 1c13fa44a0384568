//! From OpenAPI JSON to the arena.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::node::{Additional, Bound, ListType, Node, NodeId, PatchStrategy, Pattern, Rules, Type};
use super::validation::format::Format;
use super::{builtin, cel};
use crate::field::{FieldError, Path};
use crate::schema::Flaw;
use crate::schema::regular::Patterns;

const REF_PREFIX: &str = "#/components/schemas/";

/// Compiles one schema; `definitions` resolve its `$ref`s.
pub(super) struct Compiler<'d> {
    arena: Vec<Node>,
    definitions: Option<&'d Map<String, Value>>,
    compiled: HashMap<String, NodeId>,
    patterns: Patterns,
}

impl<'d> Compiler<'d> {
    pub(super) fn new(definitions: Option<&'d Map<String, Value>>) -> Self {
        Self {
            arena: Vec::new(),
            definitions,
            compiled: HashMap::new(),
            patterns: Patterns::default(),
        }
    }

    pub(super) fn finish(self) -> Vec<Node> {
        self.arena
    }

    /// Compiles the named definition (once).
    pub(super) fn definition(&mut self, name: &str) -> Result<NodeId, Flaw> {
        if let Some(id) = self.compiled.get(name) {
            return Ok(*id);
        }
        let Some(schema) = self.definitions.and_then(|d| d.get(name)) else {
            return Err(FieldError::invalid("$ref", name, "no such definition").into());
        };
        let id = self.reserve();
        self.compiled.insert(name.to_string(), id);
        let mut node = self.node(schema, &Path::ROOT)?;
        node.definition = Some(name.into());
        builtin::amend(name, &mut node);
        self.arena[id.0] = node;
        // Facts about a field are about this use of its type: such a field gets a node of its own.
        for field in builtin::fields(name) {
            if let Some(target) = self.arena[id.0].properties.get(field.name).copied() {
                let mut own = self.arena[target.0].clone();
                field.amend(&mut own);
                let own = self.push(own);
                self.arena[id.0]
                    .properties
                    .insert(field.name.to_string(), own);
            }
        }
        Ok(id)
    }

    /// Compiles a custom resource's schema. The root is a resource, and `metadata` is ObjectMeta
    /// whatever it says.
    pub(super) fn custom(&mut self, schema: &Value) -> Result<NodeId, Flaw> {
        let root = self.compile(schema, &Path::ROOT)?;
        let metadata = self.root_metadata(root)?;
        let string = self.push(Node {
            kind: Type::String,
            ..Node::default()
        });
        let node = &mut self.arena[root.0];
        node.embedded = true;
        node.properties.insert("metadata".into(), metadata);
        for name in ["apiVersion", "kind"] {
            node.properties.entry(name.into()).or_insert(string);
        }
        Ok(root)
    }

    /// ObjectMeta, together with what the schema demands of `name` and `generateName`.
    fn root_metadata(&mut self, root: NodeId) -> Result<NodeId, Flaw> {
        let standard = self.definition(builtin::OBJECT_META)?;
        let Some(declared) = self.arena[root.0].properties.get("metadata").copied() else {
            return Ok(standard);
        };
        let declared = self.arena[declared.0].clone();
        let mut node = self.arena[standard.0].clone();
        node.rules = declared.rules;
        for (name, id) in declared.properties {
            node.properties
                .entry(name)
                .and_modify(|standard| *standard = id);
        }
        Ok(self.push(node))
    }

    fn reserve(&mut self) -> NodeId {
        self.push(Node::default())
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.arena.push(node);
        NodeId(self.arena.len() - 1)
    }

    fn compile(&mut self, schema: &Value, path: &Path<'_>) -> Result<NodeId, Flaw> {
        if let Some(name) = reference(schema) {
            return self.definition(name);
        }
        let node = self.node(schema, path)?;
        Ok(self.push(node))
    }

    fn node(&mut self, schema: &Value, path: &Path<'_>) -> Result<Node, Flaw> {
        let Some(map) = schema.as_object() else {
            return Err(FieldError::invalid(path, schema.clone(), "must be an object").into());
        };
        let mut node = Node {
            kind: kind(map, path)?,
            nullable: flag(map, "nullable"),
            preserve_unknown: flag(map, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(map, "x-kubernetes-embedded-resource"),
            default: map.get("default").cloned(),
            list_type: list_type(map),
            atomic: text(map, "x-kubernetes-map-type") == Some("atomic"),
            patch: patch_strategy(map),
            go_format: self
                .definitions
                .and_then(|_| text(map, "format"))
                .map(Into::into),
            ..Node::default()
        };
        if let Some(properties) = map.get("properties").and_then(Value::as_object) {
            let base = path.child("properties");
            for (name, property) in properties {
                let id = self.compile(property, &base.key(name))?;
                node.properties.insert(name.clone(), id);
            }
        }
        node.additional = match map.get("additionalProperties") {
            None | Some(Value::Null) => Additional::Unsaid,
            Some(Value::Bool(true)) => Additional::Any,
            Some(Value::Bool(false)) => Additional::Forbidden,
            Some(schema) => {
                Additional::Of(self.compile(schema, &path.child("additionalProperties"))?)
            }
        };
        if let Some(items) = map.get("items").filter(|i| i.is_object()) {
            node.items = Some(self.compile(items, &path.child("items"))?);
        }
        node.rules = self.rules(map, path)?.map(Box::new);
        node.cel = cel::compile_rules(map, path)?;
        if node.embedded {
            let metadata = self.embedded_metadata(&node)?;
            node.properties.insert("metadata".into(), metadata);
        }
        Ok(node)
    }

    /// An embedded resource's metadata is ObjectMeta too.
    fn embedded_metadata(&mut self, node: &Node) -> Result<NodeId, Flaw> {
        match node.properties.get("metadata") {
            Some(id) if self.arena[id.0].definition.is_some() => Ok(*id),
            _ => self.definition(builtin::OBJECT_META),
        }
    }

    fn rules(&mut self, map: &Map<String, Value>, path: &Path<'_>) -> Result<Option<Rules>, Flaw> {
        let rules = Rules {
            required: strings(map, "required"),
            choices: map
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            minimum: bound(map, "minimum", "exclusiveMinimum"),
            maximum: bound(map, "maximum", "exclusiveMaximum"),
            multiple_of: map.get("multipleOf").and_then(Value::as_f64),
            min_length: count(map, "minLength"),
            max_length: count(map, "maxLength"),
            pattern: self.pattern(map, path)?,
            format: text(map, "format").and_then(Format::parse),
            min_items: count(map, "minItems"),
            max_items: count(map, "maxItems"),
            unique_items: flag(map, "uniqueItems"),
            min_properties: count(map, "minProperties"),
            max_properties: count(map, "maxProperties"),
            all_of: self.branches(map, "allOf", path)?,
            any_of: self.branches(map, "anyOf", path)?,
            one_of: self.branches(map, "oneOf", path)?,
            not: match map.get("not") {
                Some(schema) if schema.is_object() => {
                    Some(self.compile(schema, &path.child("not"))?)
                }
                _ => None,
            },
        };
        Ok((!rules.is_empty()).then_some(rules))
    }

    fn pattern(
        &mut self,
        map: &Map<String, Value>,
        path: &Path<'_>,
    ) -> Result<Option<Pattern>, Flaw> {
        let Some(source) = text(map, "pattern").filter(|p| !p.is_empty()) else {
            return Ok(None);
        };
        match self.patterns.compile(source) {
            Ok(regex) => Ok(Some(Pattern {
                source: source.to_string(),
                regex,
            })),
            Err(error) => {
                let detail = format!("must be a valid regular expression, but isn't: {error}");
                Err(FieldError::invalid(path.child("pattern"), source, detail).into())
            }
        }
    }

    fn branches(
        &mut self,
        map: &Map<String, Value>,
        keyword: &str,
        path: &Path<'_>,
    ) -> Result<Vec<NodeId>, Flaw> {
        let base = path.child(keyword);
        let branches = map
            .get(keyword)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        branches
            .iter()
            .enumerate()
            .map(|(i, branch)| self.compile(branch, &base.index(i)))
            .collect()
    }
}

impl Rules {
    fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.choices.is_empty()
            && self.minimum.is_none()
            && self.maximum.is_none()
            && self.multiple_of.is_none()
            && self.min_length.is_none()
            && self.max_length.is_none()
            && self.pattern.is_none()
            && self.format.is_none()
            && self.min_items.is_none()
            && self.max_items.is_none()
            && !self.unique_items
            && self.min_properties.is_none()
            && self.max_properties.is_none()
            && self.all_of.is_empty()
            && self.any_of.is_empty()
            && self.one_of.is_empty()
            && self.not.is_none()
    }
}

/// The definition that a schema refers to: by `$ref`, or by an `allOf` of one `$ref`, which is how
/// Kubernetes gives a reference a description of its own.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema
        .get("$ref")
        .or_else(|| match schema.get("allOf")?.as_array()?.as_slice() {
            [only] => only.get("$ref"),
            _ => None,
        });
    direct?.as_str()?.strip_prefix(REF_PREFIX)
}

fn kind(map: &Map<String, Value>, path: &Path<'_>) -> Result<Type, Flaw> {
    if flag(map, "x-kubernetes-int-or-string") {
        return Ok(Type::IntOrString);
    }
    match map.get("type") {
        None | Some(Value::Null) => Ok(Type::Any),
        Some(name) => name.as_str().and_then(Type::parse).ok_or_else(|| {
            let supported = ["array", "boolean", "integer", "number", "object", "string"];
            FieldError::not_supported(path.child("type"), name.clone(), &supported).into()
        }),
    }
}

fn list_type(map: &Map<String, Value>) -> ListType {
    match text(map, "x-kubernetes-list-type") {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(strings(map, "x-kubernetes-list-map-keys")),
        _ => ListType::Atomic,
    }
}

fn patch_strategy(map: &Map<String, Value>) -> PatchStrategy {
    let strategy = text(map, "x-kubernetes-patch-strategy").unwrap_or_default();
    PatchStrategy {
        merge: strategy.split(',').any(|s| s == "merge"),
        retain_keys: strategy.split(',').any(|s| s == "retainKeys"),
        merge_key: text(map, "x-kubernetes-patch-merge-key").map(Into::into),
    }
}

fn bound(map: &Map<String, Value>, keyword: &str, exclusive: &str) -> Option<Bound> {
    let value = map.get(keyword).and_then(Value::as_f64)?;
    Some(Bound {
        value,
        exclusive: flag(map, exclusive),
    })
}

fn flag(map: &Map<String, Value>, keyword: &str) -> bool {
    map.get(keyword)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn text<'v>(map: &'v Map<String, Value>, keyword: &str) -> Option<&'v str> {
    map.get(keyword).and_then(Value::as_str)
}

fn count(map: &Map<String, Value>, keyword: &str) -> Option<u64> {
    map.get(keyword).and_then(Value::as_u64)
}

fn strings(map: &Map<String, Value>, keyword: &str) -> Vec<String> {
    let items = map
        .get(keyword)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    items
        .iter()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect()
}
