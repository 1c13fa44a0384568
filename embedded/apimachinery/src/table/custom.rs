//! Tables of custom resources.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Value, json};
use serde_json_path::JsonPath;

use super::{Cells, Columns, definition, human, json_path, name};
use crate::gofmt;

/// One printer column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    kind: String,
    /// `None` for a path that does not parse: its cells stay empty.
    path: Option<JsonPath>,
}

const NAME: &str = "Name of the object, unique within its namespace and kind.";
const CREATED: &str = "When the object was created.";

pub(super) fn columns(additional: Option<&Value>) -> Columns {
    let age = json!([{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": CREATED}]);
    let given = additional
        .filter(|c| c.as_array().is_some_and(|c| !c.is_empty()))
        .unwrap_or(&age);
    let mut definitions = vec![definition("Name", "string", "name", NAME, 0)];
    let mut columns = Vec::new();
    for column in given.as_array().into_iter().flatten() {
        let text = |field: &str| column[field].as_str().unwrap_or_default();
        let path = text("jsonPath");
        let description = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            given => given.to_string(),
        };
        let priority = column["priority"].as_i64().unwrap_or_default();
        definitions.push(definition(
            text("name"),
            text("type"),
            text("format"),
            &description,
            priority,
        ));
        columns.push(Column {
            kind: text("type").to_string(),
            path: json_path::compile(path),
        });
    }
    Columns {
        definitions,
        cells: Cells::Custom(columns),
    }
}

pub(super) fn cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![name(object)];
    cells.extend(columns.iter().map(|column| {
        let found = column
            .path
            .as_ref()
            .and_then(|path| json_path::first(path, object));
        found.map_or(Value::Null, |value| cell(&column.kind, value, now))
    }));
    cells
}

/// A value as a column of that type shows it; one that does not fit is left out.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(text)) => text.as_str().into(),
        ("string", Value::Number(number)) => gofmt::number(number).into(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) => (float as i64).into(),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(number)) => number.as_f64().into(),
        ("boolean", Value::Bool(truth)) => (*truth).into(),
        ("date", Value::String(time)) => match Timestamp::from_str(time) {
            Ok(_) => human::since(time, now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
