//! Built-in kinds in protobuf, as `kubectl create …` and other typed Go clients send them.
//!
//! Only requests: answers are always JSON, which these clients take as well. A body is `k8s\0` and
//! a message that names the kind and carries the object.

mod messages;
mod wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use messages::{Field, Kind, Shape, fields};
use serde_json::{Map, Value, json};
use wire::{Fields, Malformed, Wire};

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// It does not begin as it must.
    #[error(
        "failed to decode protobuf: the body does not begin with the magic bytes of Kubernetes"
    )]
    Magic,
    /// It is no protobuf.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is a kind that is taken as JSON or YAML only.
    #[error("failed to decode protobuf: {0} is taken as JSON or YAML only")]
    Kind(String),
    /// A field holds what it cannot hold.
    #[error("failed to decode protobuf: field {0} has a value of another type")]
    Value(u64),
}

impl DecodeError {
    /// A stable word for the kind of error.
    #[cfg(test)]
    fn kind(&self) -> &'static str {
        match self {
            Self::Magic => "ProtobufMagic",
            Self::Malformed(_) => "ProtobufMalformed",
            Self::Kind(_) => "ProtobufKind",
            Self::Value(_) => "ProtobufValue",
        }
    }
}

/// Decodes a body to the object that the same client would send as JSON.
pub(super) fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields::of(envelope) {
        match field? {
            (1, Wire::Bytes(type_meta)) => {
                for field in Fields::of(type_meta) {
                    match field? {
                        (1, content) => api_version = text(1, content)?,
                        (2, content) => kind = text(2, content)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(content)) => raw = content,
            _ => {}
        }
    }
    let name = message_name(&api_version, &kind);
    let fields = fields(&name).ok_or_else(|| DecodeError::Kind(format!("{api_version} {kind}")))?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    message(raw, fields, &mut object)?;
    Ok(Value::Object(object))
}

/// `core.v1.Secret` for a Secret of `v1`. Options are of the same kind in every group.
fn message_name(api_version: &str, kind: &str) -> String {
    if kind == "DeleteOptions" {
        return "meta.v1.DeleteOptions".to_owned();
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let group = group.split('.').next().unwrap_or_default();
    format!("{group}.{version}.{kind}")
}

/// Decodes the fields of a message into `object`.
fn message(
    bytes: &[u8],
    known: &[Field],
    object: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    for field in Fields::of(bytes) {
        let (number, content) = field?;
        // Fields of a newer client are dropped, like unknown fields of JSON.
        let Some(field) = known.iter().find(|field| field.number == number) else {
            continue;
        };
        let Some(name) = field.name else {
            if let (Kind::Message(inner), Wire::Bytes(bytes)) = (field.kind, content) {
                message(bytes, fields(inner).unwrap_or_default(), object)?;
            }
            continue;
        };
        match field.shape {
            Shape::One => {
                let value = value(field, content)?;
                if !(field.omit_empty && is_empty(&value)) {
                    object.insert(name.to_owned(), value);
                }
            }
            Shape::List => {
                let value = value(field, content)?;
                if let Value::Array(list) = object.entry(name).or_insert_with(|| json!([])) {
                    list.push(value);
                }
            }
            Shape::Map => {
                let (key, value) = entry(field, content)?;
                if let Value::Object(map) = object.entry(name).or_insert_with(|| json!({})) {
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

/// One entry of a map: a message of key and value.
fn entry(field: &Field, content: Wire<'_>) -> Result<(String, Value), DecodeError> {
    let Wire::Bytes(bytes) = content else {
        return Err(DecodeError::Value(field.number));
    };
    let mut key = String::new();
    let mut found = match field.kind {
        Kind::Text | Kind::Bytes => json!(""),
        _ => Value::Null,
    };
    for part in Fields::of(bytes) {
        match part? {
            (1, content) => key = text(1, content)?,
            (2, content) => found = value(field, content)?,
            _ => {}
        }
    }
    Ok((key, found))
}

fn value(field: &Field, content: Wire<'_>) -> Result<Value, DecodeError> {
    let number = field.number;
    Ok(match (field.kind, content) {
        (Kind::Text, content) => text(number, content)?.into(),
        (Kind::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Integer, Wire::Varint(value)) => value.cast_signed().into(),
        (Kind::Bool, Wire::Varint(value)) => (value != 0).into(),
        (Kind::Double, Wire::Fixed64(bits)) => f64::from_bits(bits).into(),
        (Kind::Time, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%SZ")?,
        (Kind::MicroTime, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%S%.6fZ")?,
        (Kind::Quantity, Wire::Bytes(bytes)) => first_text(bytes)?.into(),
        (Kind::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (Kind::Json, Wire::Bytes(bytes)) => {
            let text = first_text(bytes)?;
            serde_json::from_str(&text).map_err(|_| DecodeError::Value(number))?
        }
        (Kind::Items, Wire::Bytes(bytes)) => {
            let items: Result<Vec<String>, DecodeError> = Fields::of(bytes)
                .map(|field| {
                    let (number, content) = field?;
                    text(number, content)
                })
                .collect();
            items?.into()
        }
        (Kind::Message(inner), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            message(bytes, fields(inner).unwrap_or_default(), &mut object)?;
            Value::Object(object)
        }
        _ => return Err(DecodeError::Value(number)),
    })
}

fn text(number: u64, content: Wire<'_>) -> Result<String, DecodeError> {
    match content {
        Wire::Bytes(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Value(number))
        }
        _ => Err(DecodeError::Value(number)),
    }
}

/// Field 1 of a message, as text.
fn first_text(message: &[u8]) -> Result<String, DecodeError> {
    for field in Fields::of(message) {
        if let (1, content) = field? {
            return text(1, content);
        }
    }
    Ok(String::new())
}

/// Seconds and nanoseconds; the zero time of Go is an empty message and becomes null.
fn time(message: &[u8], format: &str) -> Result<Value, DecodeError> {
    let (mut seconds, mut nanos) = (None, 0);
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Varint(value)) => seconds = Some(value.cast_signed()),
            (2, Wire::Varint(value)) => nanos = i32::try_from(value).unwrap_or(0),
            _ => {}
        }
    }
    let Some(seconds) = seconds else {
        return Ok(Value::Null);
    };
    let time = Timestamp::new(seconds, nanos).map_err(|_| DecodeError::Value(1))?;
    Ok(time.strftime(format).to_string().into())
}

fn int_or_string(message: &[u8]) -> Result<Value, DecodeError> {
    let (mut is_text, mut number, mut string) = (false, 0, String::new());
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, Wire::Varint(value)) => number = value.cast_signed(),
            (3, content) => string = text(3, content)?,
            _ => {}
        }
    }
    Ok(if is_text {
        string.into()
    } else {
        number.into()
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, raw)].concat()
    }

    #[test]
    fn a_secret_is_decoded_without_what_json_would_leave_out() {
        let metadata = [
            field(1, b"s"),
            field(2, b""),
            field(8, b""),
            field(11, &[field(1, b"k"), field(2, b"v")].concat()),
        ];
        let data = [field(1, b"password"), field(2, &[0, 255])].concat();
        let raw = [
            field(1, &metadata.concat()),
            field(2, &data),
            field(3, b"Opaque"),
        ]
        .concat();
        assert_eq!(
            decode(&body("v1", "Secret", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"k": "v"}},
                "data": {"password": "AP8="}, "type": "Opaque",
            })
        );
    }

    #[test]
    fn inline_messages_times_and_numbers_or_strings_are_as_in_json() {
        let probe = [
            field(1, &field(2, &field(2, &[8, 0, 16, 80]))),
            vec![2 << 3, 5],
        ]
        .concat();
        let mut object = Map::new();
        message(&probe, fields("core.v1.Probe").unwrap(), &mut object).unwrap();
        assert_eq!(
            Value::Object(object),
            json!({"httpGet": {"port": 80}, "initialDelaySeconds": 5})
        );
        assert_eq!(
            time(&[8, 1, 16, 0], "%Y-%m-%dT%H:%M:%SZ").unwrap(),
            "1970-01-01T00:00:01Z"
        );
        assert_eq!(
            time(&[8, 1, 16, 7], "%Y-%m-%dT%H:%M:%S%.6fZ").unwrap(),
            "1970-01-01T00:00:01.000000Z"
        );
        assert_eq!(int_or_string(&[8, 1, 26, 1, b'x']).unwrap(), "x");
    }

    #[test]
    fn what_is_not_a_known_kind_is_refused() {
        assert_eq!(decode(b"{}").unwrap_err().kind(), "ProtobufMagic");
        assert_eq!(
            decode(&body("apps/v1", "Deployment", b""))
                .unwrap_err()
                .kind(),
            "ProtobufKind"
        );
        assert_eq!(
            decode(&body("v1", "Secret", &[0x12])).unwrap_err().kind(),
            "ProtobufMalformed"
        );
        assert_eq!(
            decode(&body("v1", "Secret", &[8, 1])).unwrap_err().kind(),
            "ProtobufValue"
        );
    }
}
