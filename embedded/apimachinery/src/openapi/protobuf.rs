//! OpenAPI version 2 as protobuf: the messages of `openapi.v2` that Kubernetes' clients read.
//!
//! Only what [`super::v2`] produces is encoded. Field numbers are those of the public
//! OpenAPIv2.proto.

use serde_json::{Map, Value};

/// Encodes the result of [`super::v2`] in the only form that kubectl's discovery client takes; its
/// media type is [`super::V2_PROTOBUF_CONTENT_TYPE`].
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        for (name, path) in entries(&document["paths"]) {
            paths.message(2, |named| {
                named.string(1, name);
                named.message(2, |out| path_item(out, path));
            });
        }
    });
    out.message(9, |definitions| {
        named_schemas(definitions, &document["definitions"])
    });
    out.bytes
}

/// A message being written.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn string(&mut self, field: u64, text: &str) {
        self.key(field, 2);
        self.varint(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A string if the value is one.
    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|t| !t.is_empty()) {
            self.string(field, text);
        }
    }

    fn texts(&mut self, field: u64, values: &Value) {
        for value in values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            self.string(field, value);
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.key(field, 0);
            self.varint(1);
        }
    }

    fn integer(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_u64() {
            self.key(field, 0);
            self.varint(number);
        }
    }

    fn double(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.key(field, 1);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.key(field, 2);
        self.varint(inner.bytes.len() as u64);
        self.bytes.extend_from_slice(&inner.bytes);
    }

    /// An `Any`: JSON is YAML.
    fn any(&mut self, field: u64, value: &Value) {
        self.message(field, |any| any.string(2, &value.to_string()));
    }

    fn extensions(&mut self, field: u64, of: &Value) {
        for (name, value) in entries(of).filter(|(name, _)| name.starts_with("x-")) {
            self.message(field, |named| {
                named.string(1, name);
                named.any(2, value);
            });
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn path_item(out: &mut Message, path: &Value) {
    for (field, method) in [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (8, "patch"),
    ] {
        if let Some(operation) = path.get(method) {
            out.message(field, |out| write_operation(out, operation));
        }
    }
    for parameter in path["parameters"].as_array().into_iter().flatten() {
        out.message(9, |item| {
            item.message(1, |out| write_parameter(out, parameter))
        });
    }
}

fn write_operation(out: &mut Message, operation: &Value) {
    out.text(3, &operation["description"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        out.message(8, |item| {
            item.message(1, |out| write_parameter(out, parameter))
        });
    }
    out.message(9, |responses| {
        for (code, response) in entries(&operation["responses"]) {
            responses.message(1, |named| {
                named.string(1, code);
                named.message(2, |value| {
                    value.message(1, |out| {
                        out.text(1, &response["description"]);
                        if let Some(schema) = response.get("schema") {
                            out.message(2, |item| item.message(1, |out| write_schema(out, schema)));
                        }
                    });
                });
            });
        }
    });
    out.extensions(13, operation);
}

fn write_parameter(out: &mut Message, parameter: &Value) {
    match parameter["in"].as_str() {
        Some("body") => out.message(1, |body| {
            body.text(1, &parameter["description"]);
            body.text(2, &parameter["name"]);
            body.text(3, &parameter["in"]);
            body.flag(4, &parameter["required"]);
            body.message(5, |out| write_schema(out, &parameter["schema"]));
        }),
        Some("path") => out.message(2, |other| {
            other.message(4, |path| {
                common_parameter(path, parameter);
                path.text(5, &parameter["type"]);
                path.flag(18, &parameter["uniqueItems"]);
            });
        }),
        _ => out.message(2, |other| {
            other.message(3, |query| {
                common_parameter(query, parameter);
                query.text(6, &parameter["type"]);
                query.flag(20, &parameter["uniqueItems"]);
            });
        }),
    }
}

fn common_parameter(out: &mut Message, parameter: &Value) {
    out.flag(1, &parameter["required"]);
    out.text(2, &parameter["in"]);
    out.text(3, &parameter["description"]);
    out.text(4, &parameter["name"]);
}

fn named_schemas(out: &mut Message, schemas: &Value) {
    for (name, schema) in entries(schemas) {
        out.message(1, |named| {
            named.string(1, name);
            named.message(2, |out| write_schema(out, schema));
        });
    }
}

fn write_schema(out: &mut Message, schema: &Value) {
    out.text(1, &schema["$ref"]);
    out.text(2, &schema["format"]);
    out.text(3, &schema["title"]);
    out.text(4, &schema["description"]);
    out.double(6, &schema["multipleOf"]);
    out.double(7, &schema["maximum"]);
    out.flag(8, &schema["exclusiveMaximum"]);
    out.double(9, &schema["minimum"]);
    out.flag(10, &schema["exclusiveMinimum"]);
    out.integer(11, &schema["maxLength"]);
    out.integer(12, &schema["minLength"]);
    out.text(13, &schema["pattern"]);
    out.integer(14, &schema["maxItems"]);
    out.integer(15, &schema["minItems"]);
    out.flag(16, &schema["uniqueItems"]);
    out.integer(17, &schema["maxProperties"]);
    out.integer(18, &schema["minProperties"]);
    out.texts(19, &schema["required"]);
    for choice in schema["enum"].as_array().into_iter().flatten() {
        out.any(20, choice);
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(allowed)) => out.message(21, |item| {
            item.key(2, 0);
            item.varint(u64::from(*allowed));
        }),
        Some(values @ Value::Object(_)) => {
            out.message(21, |item| item.message(1, |out| write_schema(out, values)))
        }
        _ => {}
    }
    if let Some(kind) = schema["type"].as_str() {
        out.message(22, |item| item.string(1, kind));
    }
    if let Some(items) = schema.get("items").filter(|i| i.is_object()) {
        out.message(23, |list| list.message(1, |out| write_schema(out, items)));
    }
    if let Some(properties) = schema.get("properties").filter(|p| p.is_object()) {
        out.message(25, |out| named_schemas(out, properties));
    }
    out.extensions(31, schema);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_encoded_field_by_field() {
        let document = json!({
            "swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {},
            "definitions": {"a": {"type": "string", "x-y": true}}
        });
        let mut want = vec![0x0a, 3];
        want.extend(b"2.0");
        want.extend([0x12, 6, 0x0a, 1, b't', 0x12, 1, b'1']); // info
        want.extend([0x42, 0]); // paths
        let schema = [
            &[0xb2, 0x01, 8, 0x0a, 6][..],
            b"string", // type
            &[0xfa, 0x01, 13, 0x0a, 3],
            b"x-y",
            &[0x12, 6, 0x12, 4],
            b"true", // extension
        ]
        .concat();
        let named = [&[0x0a, 1, b'a', 0x12, schema.len() as u8][..], &schema].concat();
        want.extend([0x4a, named.len() as u8 + 2, 0x0a, named.len() as u8]);
        want.extend(named);
        assert_eq!(v2_protobuf(&document), want);
    }
}
