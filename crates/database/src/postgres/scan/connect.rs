//! The lines of psql's own commands that a dump may hold: pure.

/// A command that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// What follows is about another database.
    Connect(String),
    /// psql's own safeguard, which is ours to set.
    Restrict,
}

/// Reads a line that begins with a backslash, as pg_dump and pg_dumpall write them; none for any
/// other.
pub(super) fn read(line: &[u8]) -> Option<Command> {
    let line = std::str::from_utf8(line).ok()?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (command, rest) = line.split_once(' ')?;
    match command {
        "restrict" | "unrestrict" => {
            let key = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
            key.then_some(Command::Restrict)
        }
        "connect" => database(rest).map(Command::Connect),
        _ => None,
    }
}

/// A database's name, and nothing but one: an address would lead to another server.
fn database(text: &str) -> Option<String> {
    if let Some(quoted) = text.strip_prefix("-reuse-previous=on ") {
        let value = unquoted(quoted)?;
        let value = value.strip_prefix("dbname='")?.strip_suffix('\'')?;
        return unescaped(value);
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let name = match text.starts_with('"') {
        true => unquoted(text)?,
        false => text.to_owned(),
    };
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

/// What stands within double quotes.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let bare = inner.replace("\"\"", "");
    (!bare.contains('"')).then(|| inner.replace("\"\"", "\""))
}

/// The value of a connection string.
fn unescaped(value: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => name.push(rest.next()?),
            '\'' => return None,
            c => name.push(c),
        }
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_databases_name_is_a_place_to_connect_to() {
        for (line, name) in [
            ("connect shop", Some("shop")),
            ("connect \"Shop\"", Some("Shop")),
            ("connect a.b_1\r", Some("a.b_1")),
            (
                "connect -reuse-previous=on \"dbname='We ird\"\"\\'\\\\'\"",
                Some("We ird\"'\\"),
            ),
            ("connect \"host=evil password=x\"", None),
            ("connect host=evil", None),
            ("connect postgres://evil/x", None),
            ("connect shop evil", None),
            ("connect - - evil", None),
            (
                "connect -reuse-previous=on \"dbname='x' host='evil'\"",
                None,
            ),
            ("connect -reuse-previous=off \"dbname='x'\"", None),
            ("connect `id`", None),
            ("connect :x", None),
            ("connect ", None),
            ("connect", None),
            ("c shop", None),
        ] {
            let expected = name.map(|name| Command::Connect(name.to_owned()));
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn of_the_other_commands_only_the_safeguard_is_known() {
        assert_eq!(read(b"restrict abc1"), Some(Command::Restrict));
        assert_eq!(read(b"unrestrict abc1"), Some(Command::Restrict));
        for line in [
            "restrict",
            "restrict a b",
            "restrict `id`",
            "! id",
            "o x",
            "set c `id`",
            "i /etc/passwd",
            "copy t from 'x'",
            "gexec",
            ";",
            "encoding SJIS",
            "\\restrict a",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
