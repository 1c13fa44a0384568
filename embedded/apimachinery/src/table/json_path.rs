//! The JSON path of printer columns: Kubernetes' dialect, translated to RFC 9535.
//!
//! The dialect lets a name after a dot hold anything but `.`, `[` and `]` (so
//! `kubedb.com/db-version`), with `\.` for a dot in a name; RFC 9535 wants such names in brackets.

use serde_json::Value;
use serde_json_path::JsonPath;

/// Compiles a column's path; `None` if it is not one.
pub(super) fn compile(path: &str) -> Option<JsonPath> {
    JsonPath::parse(&translate(path)?).ok()
}

/// What the path finds first.
pub(super) fn first<'v>(path: &JsonPath, object: &'v Value) -> Option<&'v Value> {
    path.query(object).first()
}

fn translate(path: &str) -> Option<String> {
    let path = path
        .strip_prefix('{')
        .and_then(|p| p.strip_suffix('}'))
        .unwrap_or(path);
    let path = path.strip_prefix('$').unwrap_or(path);
    let mut out = String::from("$");
    let mut rest = path;
    while !rest.is_empty() {
        if rest.starts_with('[') {
            let end = closing(rest)?;
            out.push_str(&bracket(&rest[1..end]));
            rest = &rest[end + 1..];
            continue;
        }
        let after = rest.strip_prefix('.')?;
        let (deep, after) = match after.strip_prefix('.') {
            Some(after) => ("..", after),
            None => ("", after),
        };
        let (name, tail) = take_name(after);
        out.push_str(deep);
        match name.as_str() {
            "" if tail.is_empty() => {}
            "" if tail.starts_with('[') => {}
            "" => return None,
            "*" => out.push_str("[*]"),
            name => out.push_str(&quoted(name)),
        }
        rest = tail;
    }
    Some(out)
}

/// A name up to the next dot or bracket that is not escaped.
fn take_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[index..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket that opens the text closes, strings set aside.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// What stands in brackets is nearly the same in both dialects; a bare word is a name.
fn bracket(inner: &str) -> String {
    let bare = !inner.is_empty()
        && inner
            .chars()
            .all(|c| c.is_alphanumeric() || "_-./".contains(c));
    if bare && inner.parse::<i64>().is_err() {
        return quoted(inner);
    }
    format!("[{inner}]")
}

fn quoted(name: &str) -> String {
    format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_the_dialect_find_what_they_mean() {
        let object = json!({
            "metadata": {"annotations": {"kubedb.com/db-version": "30.0.1", "a'b": 1}},
            "status": {"conditions": [{"type": "A", "status": "no"}, {"type": "Ready", "status": "True"}], "list": [1, 2, 3]},
            "spec": {"x-y": true}
        });
        let cases = [
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type=='Ready')].status",
                json!("True"),
            ),
            ("{.status.list[0]}", json!(1)),
            (".status.list[-1]", json!(3)),
            (".status.list[1:]", json!(2)),
            (".status.conditions[*].type", json!("A")),
            (
                r".metadata.annotations.kubedb\.com/db-version",
                json!("30.0.1"),
            ),
            (
                ".metadata.annotations['kubedb.com/db-version']",
                json!("30.0.1"),
            ),
            (".spec.x-y", json!(true)),
            ("..x-y", json!(true)),
        ];
        for (path, want) in cases {
            let compiled = compile(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(first(&compiled, &object), Some(&want), "{path}");
        }
        assert_eq!(
            first(&compile(".spec.missing.deep").unwrap(), &object),
            None
        );
        assert!(compile("spec").is_none());
    }
}
