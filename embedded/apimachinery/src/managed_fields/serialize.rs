//! `fieldsV1`: a set as JSON, `{"f:spec": {".": {}, "k:{\"name\":\"a\"}": {…}, "v:1": {}}}`.

use serde_json::{Map, Value, json};

use super::set::{Element, Scalar, Set};

/// The JSON of a set.
pub(super) fn to_json(set: &Set) -> Value {
    let mut map = Map::new();
    let mut elements: Vec<&Element> = set.members.iter().chain(set.children.keys()).collect();
    elements.sort();
    elements.dedup();
    for element in elements {
        let mut inner = Map::new();
        if let Some(child) = set.children.get(element) {
            if set.members.contains(element) {
                inner.insert(".".into(), json!({}));
            }
            if let Value::Object(fields) = to_json(child) {
                inner.extend(fields);
            }
        }
        map.insert(key(element), Value::Object(inner));
    }
    Value::Object(map)
}

/// The set of a JSON; `None` if it is not one.
pub(super) fn from_json(value: &Value) -> Option<Set> {
    let mut set = Set::default();
    for (key, inner) in value.as_object()? {
        if key == "." {
            continue;
        }
        let element = element(key)?;
        let fields = inner.as_object()?;
        let child = from_json(inner)?;
        if fields.is_empty() || fields.contains_key(".") {
            set.members.insert(element.clone());
        }
        if !child.is_empty() {
            set.children.insert(element, child);
        }
    }
    Some(set)
}

fn key(element: &Element) -> String {
    match element {
        Element::Field(name) => format!("f:{name}"),
        Element::Key(keys) => {
            let keys: Vec<String> = keys
                .iter()
                .map(|(name, value)| format!("{}:{}", json!(name), value.json()))
                .collect();
            format!("k:{{{}}}", keys.join(","))
        }
        Element::Value(value) => format!("v:{}", value.json()),
        Element::Index(index) => format!("i:{index}"),
    }
}

fn element(key: &str) -> Option<Element> {
    let (kind, text) = key.split_once(':')?;
    match kind {
        "f" => Some(Element::field(text)),
        "k" => {
            let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
            let mut keys: Vec<(String, Scalar)> = fields
                .iter()
                .map(|(name, value)| (name.clone(), Scalar::new(value)))
                .collect();
            keys.sort();
            Some(Element::Key(keys))
        }
        "v" => Some(Element::Value(Scalar::new(
            &serde_json::from_str(text).ok()?,
        ))),
        "i" => text.parse().ok().map(Element::Index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_the_way_to_json_and_back() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a/b": {}}, "f:finalizers": {".": {}, "v:\"x/y\"": {}}},
            "f:spec": {"f:list": {"k:{\"name\":\"a\",\"port\":1}": {".": {}, "f:x": {}}}, "f:y": {}, "f:numbers": {"v:1": {}}}
        });
        assert_eq!(to_json(&from_json(&fields).unwrap()), fields);
        assert_eq!(from_json(&json!({"nonsense": {}})), None);
    }
}
