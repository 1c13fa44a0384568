//! Who may connect to a server.
//!
//! As with MySQL, the superuser of the auth Secret is set again at every start, before the server
//! takes connections: a restore may have brought other roles and passwords along, and the Secret is
//! what everybody relies on.

use zeroize::Zeroizing;

use crate::secret::Credentials;

/// Statements for single-user mode, each ended by a semicolon and an empty line.
pub(super) fn statements(credentials: &Credentials) -> Zeroizing<String> {
    let (name, quoted) = (
        identifier(&credentials.username),
        literal(&credentials.username),
    );
    let make = literal(&format!(
        "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) THEN CREATE ROLE {name}; END IF; END",
        quoted.as_str()
    ));
    let password = literal(&credentials.password);
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str("DO ");
    text.push_str(&make);
    text.push_str(";\n\n");
    text.push_str(&format!(
        "ALTER ROLE {name} WITH SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN CONNECTION LIMIT -1 \
         VALID UNTIL 'infinity' PASSWORD "
    ));
    text.push_str(&password);
    text.push_str(";\n\n");
    text
}

/// A string literal, on one line whatever the text is.
pub(super) fn literal(text: &str) -> Zeroizing<String> {
    let mut literal = Zeroizing::new(String::with_capacity(2 * text.len() + 3));
    literal.push_str("E'");
    for character in text.chars() {
        match character {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("''"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// A quoted identifier, on one line whatever the name is.
pub(super) fn identifier(name: &str) -> String {
    let mut identifier = String::with_capacity(name.len() + 4);
    identifier.push_str("U&\"");
    for character in name.chars() {
        match character {
            '\\' => identifier.push_str("\\\\"),
            '"' => identifier.push_str("\"\""),
            control if control.is_ascii_control() => {
                identifier.push_str(&format!("\\{:04x}", u32::from(control)));
            }
            other => identifier.push(other),
        }
    }
    identifier.push('"');
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_identifiers_cannot_be_left_and_stay_on_one_line() {
        for (text, as_literal, as_identifier) in [
            ("plain", "E'plain'", "U&\"plain\""),
            ("a'b\\", "E'a''b\\\\'", "U&\"a'b\\\\\""),
            ("x\ny\r", "E'x\\ny\\r'", "U&\"x\\000ay\\000d\""),
            (
                "a\"; DROP ROLE b",
                "E'a\"; DROP ROLE b'",
                "U&\"a\"\"; DROP ROLE b\"",
            ),
        ] {
            assert_eq!(literal(text).as_str(), as_literal);
            assert_eq!(identifier(text), as_identifier);
        }
    }

    #[test]
    fn the_role_is_made_if_it_is_missing_and_its_password_is_set() {
        let credentials = Credentials {
            username: "o'neill".to_owned(),
            password: Zeroizing::new("pw".to_owned()),
        };
        let text = statements(&credentials);
        assert_eq!(text.matches(";\n\n").count(), 2);
        assert!(
            text.contains("rolname = E''o''''neill''"),
            "{}",
            text.as_str()
        );
        assert!(text.contains("ALTER ROLE U&\"o'neill\" WITH SUPERUSER"));
        assert!(text.ends_with("PASSWORD E'pw';\n\n"));
    }
}
