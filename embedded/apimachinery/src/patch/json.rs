//! RFC 6902 JSON patches within Kubernetes' budgets.
//!
//! A few bytes can ask for anything: 30 operations that copy the document into itself are a
//! thousand million copies of it. So each operation is measured on the document as it is then, and
//! refused before it is done.
//!
//! | budget | what it keeps finite |
//! |---|---|
//! | [`MAX_OPERATIONS`] | the operations |
//! | [`MAX_COPIED_BYTES`] | what `copy` adds, all together |
//! | [`MAX_DEPTH`] | the nesting, which every later reader follows on its stack |
//! | [`MAX_STEPS`] | values visited or moved: inserts at the head of long lists, moves of large subtrees |

use std::io;

use json_patch::jsonptr::Pointer;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::PatchError;

/// As many operations as Kubernetes takes.
pub(super) const MAX_OPERATIONS: usize = 10_000;
/// As many bytes of JSON as `copy` may add in one patch: Kubernetes' limit of a request.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;
/// As deep as a document may be nested that is read from the wire.
pub const MAX_DEPTH: usize = 120;
/// Values that one patch may visit or move.
const MAX_STEPS: usize = 50_000_000;

/// Applies an RFC 6902 JSON patch (an array of operations).
///
/// # Errors
/// [`PatchError::Malformed`], [`PatchError::JsonPatch`], [`PatchError::TooManyOperations`] or
/// [`PatchError::TooMuch`].
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    // Counted before they are read: each takes many times its text in memory.
    if let Some(count) = patch.as_array().map(Vec::len)
        && count > MAX_OPERATIONS
    {
        return Err(PatchError::TooManyOperations(count));
    }
    let patch: Patch =
        serde_json::from_value(patch.clone()).map_err(|e| PatchError::Malformed(e.to_string()))?;
    let mut budget = Budget::default();
    let mut result = target.clone();
    for (index, operation) in patch.0.iter().enumerate() {
        budget.spend(&result, operation)?;
        // Not all at once: the next one is measured on what this one leaves. Nothing has to be
        // undone, for the document is a copy.
        json_patch::patch_unsafe(&mut result, std::slice::from_ref(operation)).map_err(
            |mut error| {
                error.operation = index;
                PatchError::JsonPatch(error)
            },
        )?;
    }
    Ok(result)
}

/// What a patch has used so far.
#[derive(Debug, Default)]
struct Budget {
    copied: usize,
    steps: usize,
}

impl Budget {
    /// Accounts for an operation on a document, before it is done.
    fn spend(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
        let at = operation.path();
        match operation {
            PatchOperation::Add(add) => self.place(document, at, &add.value)?,
            PatchOperation::Replace(replace) => self.place(document, at, &replace.value)?,
            PatchOperation::Remove(_) => self.shift(document, at)?,
            PatchOperation::Test(test) => self.step(size(&test.value).1)?,
            PatchOperation::Move(moved) => {
                self.shift(document, &moved.from)?;
                if let Ok(value) = moved.from.resolve(document) {
                    self.place(document, at, value)?;
                }
            }
            PatchOperation::Copy(copy) => {
                if let Ok(value) = copy.from.resolve(document) {
                    self.copied = self.copied.saturating_add(bytes(value));
                    if self.copied > MAX_COPIED_BYTES {
                        return Err(PatchError::TooMuch(format!(
                            "the copies add {} bytes, exceeding the limit of {MAX_COPIED_BYTES}",
                            self.copied
                        )));
                    }
                    self.place(document, at, value)?;
                }
            }
        }
        Ok(())
    }

    /// A value that comes to stand somewhere.
    fn place(&mut self, document: &Value, at: &Pointer, value: &Value) -> Result<(), PatchError> {
        let (depth, values) = size(value);
        if at.count() + depth > MAX_DEPTH {
            return Err(PatchError::TooMuch(format!(
                "{at} would be nested more than {MAX_DEPTH} levels deep"
            )));
        }
        self.step(values)?;
        self.shift(document, at)
    }

    /// A place in a list or map whose neighbours move up or down.
    fn shift(&mut self, document: &Value, at: &Pointer) -> Result<(), PatchError> {
        let neighbours = match at.parent().and_then(|parent| parent.resolve(document).ok()) {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(fields)) => fields.len(),
            _ => 0,
        };
        self.step(neighbours)
    }

    fn step(&mut self, values: usize) -> Result<(), PatchError> {
        self.steps = self.steps.saturating_add(values);
        if self.steps > MAX_STEPS {
            return Err(PatchError::TooMuch(format!(
                "its operations touch more than {MAX_STEPS} values"
            )));
        }
        Ok(())
    }
}

/// Levels of nesting of a value, and how many values it is made of.
fn size(value: &Value) -> (usize, usize) {
    let below = |children: &mut dyn Iterator<Item = &Value>| {
        children.map(size).fold((0, 0), |(depth, count), child| {
            (depth.max(child.0), count + child.1)
        })
    };
    let (depth, count) = match value {
        Value::Array(items) => below(&mut items.iter()),
        Value::Object(fields) => below(&mut fields.values()),
        _ => return (0, 1),
    };
    (depth + 1, count + 1)
}

/// The length of a value as JSON.
fn bytes(value: &Value) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(text.len());
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // A counter takes everything; should JSON refuse, the copy is refused too.
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn copies_that_double_the_document_end_at_three_megabytes() {
        let operations: Vec<Value> = (0..30)
            .map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/c{n}")}))
            .collect();
        let target = json!({"data": {"a": "x".repeat(20)}});
        let error = json_patch(&target, &Value::Array(operations)).unwrap_err();
        assert_eq!(error.kind(), "JsonPatchTooMuch");
        assert!(error.to_string().contains("exceeding the limit"), "{error}");
    }

    #[test]
    fn the_limit_of_copies_is_exact() {
        // As JSON, a string is two bytes longer.
        for (length, allowed) in [(MAX_COPIED_BYTES - 2, true), (MAX_COPIED_BYTES - 1, false)] {
            let target = json!({"a": "x".repeat(length)});
            let patch = json!([{"op": "copy", "from": "/a", "path": "/b"}]);
            assert_eq!(json_patch(&target, &patch).is_ok(), allowed, "{length}");
        }
    }

    #[test]
    fn ten_thousand_operations_are_taken_and_one_more_is_not() {
        let operations = |count: usize| {
            Value::Array(vec![json!({"op": "test", "path": "/a", "value": 1}); count])
        };
        let target = json!({"a": 1});
        assert_eq!(
            json_patch(&target, &operations(MAX_OPERATIONS)).unwrap(),
            target
        );
        let status =
            crate::Status::from(json_patch(&target, &operations(MAX_OPERATIONS + 1)).unwrap_err());
        assert_eq!((status.code, status.reason), (413, "RequestEntityTooLarge"));
        assert_eq!(
            status.message,
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
    }

    #[test]
    fn no_sequence_of_operations_nests_deeper_than_what_the_wire_carries() {
        let wrap = |n: usize| {
            [
                json!({"op": "add", "path": format!("/b{n}"), "value": {}}),
                json!({"op": "move", "from": if n == 0 { "/a".to_owned() } else { format!("/b{}", n - 1) }, "path": format!("/b{n}/x")}),
            ]
        };
        let by_moves: Vec<Value> = (0..MAX_OPERATIONS / 2).flat_map(wrap).collect();
        let deep = "/a".repeat(MAX_DEPTH + 1);
        for patch in [
            Value::Array(by_moves),
            json!([{"op": "add", "path": deep, "value": 1}]),
            json!([{"op": "replace", "path": "/a", "value": nested(MAX_DEPTH)}]),
        ] {
            let error = json_patch(&json!({"a": {}}), &patch).unwrap_err();
            assert!(error.to_string().contains("levels deep"), "{error}");
        }
        let at_the_limit = json!([{"op": "replace", "path": "/a", "value": nested(MAX_DEPTH - 1)}]);
        assert!(json_patch(&json!({"a": {}}), &at_the_limit).is_ok());
    }

    #[test]
    fn inserts_at_the_head_of_a_long_list_are_bounded() {
        let target = json!({"list": vec![0; 100_000]});
        let patch = vec![json!({"op": "add", "path": "/list/0", "value": 1}); MAX_OPERATIONS];
        let error = json_patch(&target, &Value::Array(patch)).unwrap_err();
        assert!(error.to_string().contains("touch more than"), "{error}");
    }

    #[test]
    fn a_failed_operation_is_told_by_its_place() {
        let patch = json!([
            {"op": "add", "path": "/a", "value": 1},
            {"op": "test", "path": "/a", "value": 2},
        ]);
        let PatchError::JsonPatch(error) = json_patch(&json!({}), &patch).unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(error.operation, 1);
    }
}
