//! Strict decoding: what a request body says, what in it is unknown or said twice, and what becomes
//! of that.
//!
//! Invariant: with `Strict` nothing that was sent is silently lost; with `Warn` it is told.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::field::FieldError;
use crate::gofmt::quote;
use crate::resource::ResourceInfo;
use crate::schema::Schema;
use crate::status::Status;

/// The query parameter `fieldValidation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop unknown and duplicate fields silently.
    Ignore,
    /// Drop them and send a `Warning` header for each (the default of the API).
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

impl FieldValidation {
    /// Parses the parameter's value; absent or empty is [`FieldValidation::Warn`].
    ///
    /// # Errors
    /// A 422 Status, worded as Kubernetes does, for any other value.
    pub fn parse(value: Option<&str>) -> Result<Self, Box<Status>> {
        match value {
            None | Some("" | "Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => {
                let error = FieldError::not_supported(
                    "fieldValidation",
                    other,
                    &["", "Ignore", "Strict", "Warn"],
                );
                Err(Box::new(Status::invalid_options("PatchOptions", &[error])))
            }
        }
    }
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The document; of a field given twice the last one counts.
    pub value: Value,
    /// Paths of the fields given more than once, such as `spec.foo`, each once.
    pub duplicates: Vec<String>,
}

/// Parses JSON, noting duplicate fields.
///
/// # Errors
/// A 400 Status when it is not JSON.
pub fn json(body: &[u8]) -> Result<Decoded, Box<Status>> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Document {
        path: String::new(),
        duplicates: &mut duplicates,
    };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => Ok(Decoded { value, duplicates }),
        Err(error) => Err(Box::new(Status::bad_request(format!(
            "the object provided is unrecognized: couldn't get version/kind; json parse error: {error}"
        )))),
    }
}

/// Checks that every value of a built-in kind (of a custom resource: of its metadata) has the right
/// type, as Go's decoder does before anything else looks at the object.
///
/// # Errors
/// A 400 Status: `Job in version "v1" cannot be handled as a Job: json: cannot unmarshal string
/// into Go struct field …`.
pub fn check_types(
    resource: &ResourceInfo,
    schema: &Schema,
    object: &Value,
) -> Result<(), Box<Status>> {
    match schema.type_mismatch(object) {
        None => Ok(()),
        Some(problem) => Err(Box::new(unhandled(resource, &problem))),
    }
}

/// Decides about the findings of decoding: the warnings to send (text of the `Warning` headers), or
/// the refusal. `unknown` are the paths returned by [`Schema::prune`].
///
/// # Errors
/// A 400 Status (`strict decoding error: unknown field "spec.x"`) in strict mode when there is any
/// finding.
pub fn field_validation(
    mode: FieldValidation,
    resource: &ResourceInfo,
    unknown: &[String],
    duplicates: &[String],
) -> Result<Vec<String>, Box<Status>> {
    let duplicates = duplicates
        .iter()
        .map(|path| format!("duplicate field {}", quote(path)));
    let unknown = unknown
        .iter()
        .map(|path| format!("unknown field {}", quote(path)));
    let findings: Vec<String> = duplicates.chain(unknown).collect();
    match mode {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(findings),
        FieldValidation::Strict if findings.is_empty() => Ok(findings),
        FieldValidation::Strict => Err(Box::new(unhandled(
            resource,
            &format!("strict decoding error: {}", findings.join(", ")),
        ))),
    }
}

fn unhandled(resource: &ResourceInfo, problem: &str) -> Status {
    let (kind, version) = (&resource.kind, quote(&resource.version));
    Status::bad_request(format!(
        "{kind} in version {version} cannot be handled as a {kind}: {problem}"
    ))
}

/// Builds a `Value` and notes what is said twice.
struct Document<'d> {
    path: String,
    duplicates: &'d mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, items.len());
            match seq.next_element_seed(Document {
                path,
                duplicates: self.duplicates,
            })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key.len() > MAX_KEY {
                return Err(A::Error::custom("field name too long"));
            }
            let path = if self.path.is_empty() {
                key.clone()
            } else {
                format!("{}.{key}", self.path)
            };
            if map.contains_key(&key) && !self.duplicates.contains(&path) {
                self.duplicates.push(path.clone());
            }
            let value = entries.next_value_seed(Document {
                path,
                duplicates: self.duplicates,
            })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Longer names than any Kubernetes allows are not worth carrying along in paths.
const MAX_KEY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job() -> ResourceInfo {
        ResourceInfo::builtins()
            .into_iter()
            .find(|r| r.kind == "Job")
            .unwrap()
    }

    #[test]
    fn duplicates_are_noted_with_their_path_and_the_last_one_counts() {
        let decoded =
            json(br#"{"spec": {"a": 1, "a": 2, "l": [{"b": 1, "b": 1, "b": 3}]}}"#).unwrap();
        assert_eq!(decoded.value, json!({"spec": {"a": 2, "l": [{"b": 3}]}}));
        assert_eq!(decoded.duplicates, ["spec.a", "spec.l[0].b"]);
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in ["", "{", "{} {}", "nonsense"] {
            assert_eq!(json(body.as_bytes()).unwrap_err().code, 400, "{body:?}");
        }
    }

    #[test]
    fn strict_refuses_warn_tells_and_ignore_is_silent() {
        let (unknown, twice) = (vec!["spec.x".to_string()], vec!["spec.y".to_string()]);
        let run = |mode| field_validation(mode, &job(), &unknown, &twice);
        assert_eq!(run(FieldValidation::Ignore).unwrap(), [""; 0]);
        assert_eq!(
            run(FieldValidation::Warn).unwrap(),
            [r#"duplicate field "spec.y""#, r#"unknown field "spec.x""#]
        );
        let refused = run(FieldValidation::Strict).unwrap_err();
        assert_eq!(
            refused.message,
            r#"Job in version "v1" cannot be handled as a Job: strict decoding error: duplicate field "spec.y", unknown field "spec.x""#
        );
        assert_eq!(refused.code, 400);
    }
}
