//! The shape of the messages, from the table `messages.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    /// Its JSON name; `None` when its own fields stand in the JSON of the message.
    pub(super) name: Option<&'static str>,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// Whether an empty value does not appear in JSON.
    pub(super) omit_empty: bool,
}

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bytes,
    Integer,
    Bool,
    Double,
    Time,
    MicroTime,
    /// A string in a message of its own.
    Quantity,
    IntOrString,
    /// JSON in a message of its own.
    Json,
    /// A list of strings in a message of its own.
    Items,
    Message(&'static str),
}

/// The fields of a message, `None` if it is not known.
pub(super) fn fields(message: &str) -> Option<&'static [Field]> {
    static TABLE: OnceLock<HashMap<&'static str, Vec<Field>>> = OnceLock::new();
    TABLE
        .get_or_init(|| {
            include_str!("messages.txt")
                .lines()
                .filter_map(line)
                .collect()
        })
        .get(message)
        .map(Vec::as_slice)
}

fn line(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    if line.starts_with('#') {
        return None;
    }
    let (message, fields) = line.split_once(' ')?;
    Some((message, fields.split(' ').filter_map(field).collect()))
}

fn field(text: &'static str) -> Option<Field> {
    let (name, rest) = text.split_once('=')?;
    let (number, kind) = rest.split_once(':')?;
    let (kind, omit_empty) = match kind.strip_suffix('?') {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let (shape, kind) = if let Some(kind) = kind.strip_prefix("[]") {
        (Shape::List, kind)
    } else if let Some(kind) = kind.strip_prefix("{}") {
        (Shape::Map, kind)
    } else {
        (Shape::One, kind)
    };
    Some(Field {
        number: number.parse().ok()?,
        name: (name != "@").then_some(name),
        shape,
        kind: match kind {
            "s" => Kind::Text,
            "y" => Kind::Bytes,
            "i" => Kind::Integer,
            "b" => Kind::Bool,
            "d" => Kind::Double,
            "time" => Kind::Time,
            "microtime" => Kind::MicroTime,
            "quantity" => Kind::Quantity,
            "intorstring" => Kind::IntOrString,
            "fields" | "raw" => Kind::Json,
            "items" => Kind::Items,
            message => Kind::Message(message),
        },
        omit_empty,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_named_in_the_table_is_in_it() {
        let mut count = 0;
        for line in include_str!("messages.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let message = line.split(' ').next().unwrap();
            let words = line.split(' ').count() - 1;
            if words == 0 {
                continue;
            }
            let fields = fields(message).unwrap();
            assert_eq!(fields.len(), words, "{message}");
            for field in fields {
                if let Kind::Message(name) = field.kind {
                    let known = include_str!("messages.txt")
                        .lines()
                        .any(|line| line.split(' ').next() == Some(name));
                    assert!(known, "{message} needs {name}");
                }
                count += 1;
            }
        }
        assert!(count > 1000);
    }
}
