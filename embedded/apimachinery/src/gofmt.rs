//! How Go prints values: the messages that users of Kubernetes know are made of them.

use std::fmt::Write;

use serde_json::{Number, Value};

/// A double-quoted Go string literal (`%q`).
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                append(&mut out, format_args!("\\x{:02x}", c as u32))
            }
            c if c.is_control() => append(&mut out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A number as Go's `%v` prints an int64 or float64.
pub(crate) fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if !(number.is_i64() || number.is_u64()) => self::float(float),
        _ => number.to_string(),
    }
}

/// A float64 as Go's `%v` prints it: the shortest form, with an exponent from 1e+21 on and below
/// 1e-04.
pub(crate) fn float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let scientific = format!("{value:e}");
        if let Some((mantissa, exponent)) = scientific.split_once('e') {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            return format!("{mantissa}e{sign}{digits:0>2}");
        }
    }
    format!("{value}")
}

/// A decoded JSON value in Go syntax (`%#v`): `map[string]interface {}{"a":"b"}`.
pub(crate) fn syntax(value: &Value) -> String {
    let mut out = String::new();
    write_syntax(value, &mut out);
    out
}

fn write_syntax(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::Bool(b) => append(out, format_args!("{b}")),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(s) => out.push_str(&quote(s)),
        Value::Array(items) => {
            out.push_str("[]interface {}{");
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_syntax(item, out);
            }
            out.push('}');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push_str("map[string]interface {}{");
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(&quote(key));
                out.push(':');
                if let Some(value) = map.get(key) {
                    write_syntax(value, out);
                }
            }
            out.push('}');
        }
    }
}

/// Writing to a String cannot fail, so the result carries nothing.
fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_quoted_as_go_does() {
        assert_eq!(quote("a\"b\\c\n\u{1}é"), r#""a\"b\\c\n\x01é""#);
    }

    #[test]
    fn values_are_printed_in_go_syntax_with_sorted_keys() {
        assert_eq!(
            syntax(&json!({"b": [1, "x", null], "a": true})),
            r#"map[string]interface {}{"a":true, "b":[]interface {}{1, "x", interface {}(nil)}}"#
        );
    }

    #[test]
    fn floats_are_printed_as_go_does() {
        for (value, want) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (2.5e-7, "2.5e-07"),
            (0.0, "0"),
        ] {
            assert_eq!(float(value), want);
        }
    }
}
