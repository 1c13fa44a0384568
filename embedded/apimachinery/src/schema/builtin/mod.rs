//! The schemas of the built-in kinds: the definitions of k8s-openapi, amended by what its generator
//! leaves out.

pub(crate) mod facts;
mod kinds;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use facts::Field;
use serde_json::{Map, Value};

use super::Schema;
use super::compile::Compiler;
use super::node::{Node, Type};

/// Name of the definition of ObjectMeta.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// Name of the definition of ListMeta.
pub(crate) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Definitions whose content is free JSON, which the generator calls an object.
const FREE_JSON: &[&str] = &[
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
];
const FREE_OBJECT: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
];

/// All definitions by name, with `x-kubernetes-*` extensions, `$ref`s being
/// `#/components/schemas/…`.
pub(crate) fn definitions() -> &'static Map<String, Value> {
    static DEFINITIONS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
        let mut definitions = kinds::definitions();
        for (name, schema) in &mut definitions {
            facts::extend(name, schema);
        }
        definitions
    });
    &DEFINITIONS
}

/// Name of the definition of a built-in kind.
pub(crate) fn definition_name(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    static KINDS: LazyLock<Vec<kinds::Kind>> = LazyLock::new(kinds::kinds);
    let found = KINDS
        .iter()
        .find(|k| k.group == group && k.version == version && k.kind == kind)?;
    Some(&found.definition)
}

/// The compiled schema of a built-in kind.
pub(crate) fn schema(group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
    static SCHEMAS: LazyLock<HashMap<&'static str, Schema>> = LazyLock::new(|| {
        let mut compiler = Compiler::new(Some(definitions()));
        let mut roots = Vec::new();
        for kind in kinds::kinds() {
            let Some(name) = definition_name(kind.group, kind.version, kind.kind) else {
                continue;
            };
            // The definitions are ours and covered by a test: one that does not compile is left
            // out.
            if let Ok(root) = compiler.definition(name) {
                roots.push((name, root));
            }
        }
        let arena: Arc<[Node]> = compiler.finish().into();
        roots
            .into_iter()
            .map(|(name, root)| {
                (
                    name,
                    Schema {
                        arena: arena.clone(),
                        root,
                        custom: false,
                    },
                )
            })
            .collect()
    });
    SCHEMAS.get(definition_name(group, version, kind)?)
}

/// Amends the node of a definition.
pub(super) fn amend(name: &str, node: &mut Node) {
    node.rules = None;
    if FREE_JSON.contains(&name) {
        *node = Node {
            preserve_unknown: true,
            definition: node.definition.take(),
            ..Node::default()
        };
    } else if FREE_OBJECT.contains(&name) {
        node.kind = Type::Object;
        node.preserve_unknown = true;
    }
    if facts::is_atomic(name) {
        node.atomic = true;
    }
}

/// What the table says of the fields of a definition.
pub(super) fn fields(name: &str) -> &'static [Field] {
    facts::fields(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_kind_has_a_compiled_schema() {
        for kind in kinds::kinds() {
            assert!(
                schema(kind.group, kind.version, kind.kind).is_some(),
                "{}",
                kind.definition
            );
        }
    }

    #[test]
    fn every_row_of_the_table_names_a_field_that_exists() {
        for (definition, fields) in facts::TABLE {
            let name = format!("io.k8s.{definition}");
            let schema = definitions()
                .get(&name)
                .unwrap_or_else(|| panic!("no definition {name}"));
            for field in *fields {
                assert!(
                    schema["properties"].get(field.name).is_some(),
                    "{name} has no field {}",
                    field.name
                );
            }
        }
        for name in facts::ATOMIC {
            assert!(
                definitions().contains_key(&format!("io.k8s.{name}")),
                "no definition {name}"
            );
        }
    }
}
