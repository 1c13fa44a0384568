//! Values of the wrong type in built-in types, worded as Go's decoder words them.

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine as _};
use serde_json::Value;

use super::node::{Additional, NodeRef, Type};
use super::validation::format::is_date_time;
use crate::gofmt;

const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// The first mismatch; of a custom resource only the metadata is looked at.
pub(super) fn mismatch(object: &Value, root: NodeRef<'_>, custom: bool) -> Option<String> {
    if custom {
        let metadata = root.property("metadata")?;
        return check(object.get("metadata")?, metadata, "ObjectMeta", "metadata");
    }
    check(object, root, "", "")
}

fn check(value: &Value, node: NodeRef<'_>, owner: &str, path: &str) -> Option<String> {
    let schema = node.get();
    if value.is_null() || (schema.preserve_unknown && schema.kind == Type::Any) {
        return None;
    }
    match schema.definition.as_deref() {
        Some(TIME | MICRO_TIME) => return time(value),
        Some(QUANTITY) => return quantity(value),
        _ => {}
    }
    match (schema.kind, value) {
        (Type::Object, Value::Object(map)) => {
            let owner = schema.definition.as_deref().map_or(owner, short);
            map.iter().find_map(|(name, value)| {
                let field = node.field(name)?;
                // Go names fields, not the keys of maps.
                let path = match schema.additional {
                    Additional::Of(_) if !schema.properties.contains_key(name) => path.to_string(),
                    _ if path.is_empty() => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                check(value, field, owner, &path)
            })
        }
        (Type::Array, Value::Array(items)) => {
            let item = node.items()?;
            items
                .iter()
                .find_map(|value| check(value, item, owner, path))
        }
        (Type::String, Value::String(text)) if schema.go_format.as_deref() == Some("byte") => {
            base64_problem(text)
        }
        (Type::String, Value::String(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_)) => None,
        (Type::Integer, Value::Number(n))
            if n.is_i64() && fits(n.as_i64(), schema.go_format.as_deref()) =>
        {
            None
        }
        (Type::Integer, Value::Number(n)) => Some(message(
            &format!("number {}", gofmt::number(n)),
            owner,
            path,
            node,
        )),
        (Type::IntOrString, Value::String(_) | Value::Number(_)) | (Type::Any, _) => None,
        _ => Some(message(json_kind(value), owner, path, node)),
    }
}

fn fits(number: Option<i64>, format: Option<&str>) -> bool {
    format != Some("int32") || number.is_some_and(|n| i32::try_from(n).is_ok())
}

fn message(found: &str, owner: &str, path: &str, node: NodeRef<'_>) -> String {
    if path.is_empty() {
        return format!(
            "json: cannot unmarshal {found} into Go value of type {}",
            go_type(node)
        );
    }
    format!(
        "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {}",
        go_type(node)
    )
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The Go type that the public Go structs use.
fn go_type(node: NodeRef<'_>) -> String {
    let schema = node.get();
    match schema.kind {
        Type::Any => "interface {}".into(),
        Type::String => "string".into(),
        Type::Boolean => "bool".into(),
        Type::Number => "float64".into(),
        Type::Integer => schema.go_format.as_deref().unwrap_or("int64").into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Array => format!(
            "[]{}",
            node.items().map_or_else(|| "interface {}".into(), go_type)
        ),
        Type::Object => match (schema.definition.as_deref(), schema.additional) {
            (Some(name), _) => format!("v1.{}", short(name)),
            (None, Additional::Of(id)) => format!("map[string]{}", go_type(node.at(id))),
            (None, _) => "map[string]interface {}".into(),
        },
    }
}

fn short(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

/// Go's decoder tells where base64 goes wrong.
fn base64_problem(text: &str) -> Option<String> {
    let error = STANDARD.decode(text).err()?;
    let position = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => {
            text.trim_end_matches('=').len()
        }
    };
    Some(format!("illegal base64 data at input byte {position}"))
}

fn time(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if is_date_time(text) => None,
        Value::String(text) => Some(format!(
            "parsing time {} as \"2006-01-02T15:04:05Z07:00\": cannot parse {} as \"2006\"",
            gofmt::quote(text),
            gofmt::quote(text)
        )),
        other => Some(format!(
            "json: cannot unmarshal {} into Go value of type string",
            json_kind(other)
        )),
    }
}

fn quantity(value: &Value) -> Option<String> {
    const SUFFIXES: &[&str] = &[
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Number(_) => return None,
        _ => return Some(QUANTITY_SYNTAX.into()),
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let exponent = suffix
        .strip_prefix(['e', 'E'])
        .is_some_and(|e| e.parse::<i32>().is_ok());
    let good = number.parse::<f64>().is_ok() && (exponent || SUFFIXES.contains(&suffix));
    (!good).then(|| QUANTITY_SYNTAX.into())
}

const QUANTITY_SYNTAX: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Schema;

    #[test]
    fn a_wrong_type_is_told_as_go_tells_it() {
        let job = Schema::builtin("batch", "v1", "Job").unwrap();
        let container = |c| json!({"spec": {"template": {"spec": {"containers": [c]}}}});
        let cases = [
            (
                json!({"spec": {"backoffLimit": "x"}}),
                Some(
                    "json: cannot unmarshal string into Go struct field JobSpec.spec.backoffLimit of type int32",
                ),
            ),
            (
                json!({"spec": {"backoffLimit": 3_000_000_000_i64}}),
                Some(
                    "json: cannot unmarshal number 3000000000 into Go struct field JobSpec.spec.backoffLimit of type int32",
                ),
            ),
            (
                container(json!({"env": [{"value": 5}]})),
                Some(
                    "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
                ),
            ),
            (
                container(json!({"ports": {}})),
                Some(
                    "json: cannot unmarshal object into Go struct field Container.spec.template.spec.containers.ports of type []v1.ContainerPort",
                ),
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                Some(
                    "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
                ),
            ),
            (
                json!({"metadata": {"labels": null}, "spec": {"backoffLimit": 1}}),
                None,
            ),
            (
                container(json!({"resources": {"limits": {"cpu": "500m", "memory": 5}}})),
                None,
            ),
        ];
        for (object, want) in cases {
            assert_eq!(job.type_mismatch(&object).as_deref(), want, "{object}");
        }
    }

    #[test]
    fn bad_base64_is_told_with_its_place() {
        let secret = Schema::builtin("", "v1", "Secret").unwrap();
        let problem = |text: &str| secret.type_mismatch(&json!({"data": {"k": text}}));
        assert_eq!(problem("YWJj"), None);
        assert_eq!(
            problem("YW!j").as_deref(),
            Some("illegal base64 data at input byte 2")
        );
    }
}
