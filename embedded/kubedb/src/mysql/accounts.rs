//! Who may connect to a server.
//!
//! The superuser of the auth Secret is set again at every start, before the server takes
//! connections: a restore may have brought other users and passwords along, and the Secret is what
//! everybody relies on.

use mysql_async::prelude::Queryable;
use zeroize::Zeroizing;

use super::client::connect;
use crate::KubedbError;
use crate::secret::Credentials;

/// Statements for the start of a server, one in each line. The first time they also remove the
/// accounts that an empty data directory comes with and that would let anybody in.
pub(crate) fn statements(credentials: &Credentials, first: bool) -> Zeroizing<String> {
    let user = quoted(&credentials.username);
    let password = quoted(&credentials.password);
    let mut text = Zeroizing::new(String::with_capacity(1024));
    if first {
        // With `%` alone a client on loopback would be taken for one of these, which have no
        // password.
        for host in ["127.0.0.1", "::1"] {
            text.push_str(&format!("DROP USER IF EXISTS 'root'@'{host}';\n"));
        }
    }
    for host in ["%", "localhost"] {
        let account = format!("{}@'{host}'", user.as_str());
        text.push_str(&format!("CREATE USER IF NOT EXISTS {account};\n"));
        text.push_str(&format!("ALTER USER {account} IDENTIFIED BY "));
        text.push_str(&password);
        text.push_str(&format!(
            ";\nGRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
        ));
    }
    if first && credentials.username != "root" {
        text.push_str("DROP USER IF EXISTS 'root'@'localhost';\n");
    }
    text
}

/// Removes all other accounts that a new server comes with, such as `root` under this machine's
/// name.
pub(crate) async fn remove_open_ones(
    port: u16,
    credentials: &Credentials,
) -> Result<(), KubedbError> {
    let failed =
        || KubedbError::database("remove the accounts of a new server that have no password");
    let mut connection = connect(port, credentials).await.map_err(failed())?;
    let query = "SELECT User, Host FROM mysql.user \
                 WHERE User = '' OR (User = 'root' AND Host NOT IN ('%', 'localhost'))";
    let accounts: Vec<(String, String)> = connection.query(query).await.map_err(failed())?;
    for (user, host) in accounts {
        let account = format!("{}@{}", quoted(&user).as_str(), quoted(&host).as_str());
        connection
            .query_drop(format!("DROP USER {account}"))
            .await
            .map_err(failed())?;
    }
    connection.disconnect().await.map_err(failed())
}

/// A string literal, on one line whatever the text is.
fn quoted(text: &str) -> Zeroizing<String> {
    let mut literal = Zeroizing::new(String::with_capacity(2 * text.len() + 2));
    literal.push('\'');
    for character in text.chars() {
        match character {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("''"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left_and_stay_on_one_line() {
        for (text, expected) in [
            ("plain", "'plain'"),
            ("a'b\\", "'a''b\\\\'"),
            ("x\ny\r\0", "'x\\ny\\r\\0'"),
            ("'; DROP USER root; --", "'''; DROP USER root; --'"),
        ] {
            assert_eq!(quoted(text).as_str(), expected);
        }
    }

    #[test]
    fn every_start_sets_the_password_and_only_the_first_one_removes_accounts() {
        let credentials = Credentials {
            username: "root".to_owned(),
            password: Zeroizing::new("pw".to_owned()),
        };
        let (first, later) = (
            statements(&credentials, true),
            statements(&credentials, false),
        );
        assert!(first.lines().all(|line| line.ends_with(';')));
        assert_eq!(later.matches("IDENTIFIED BY 'pw'").count(), 2);
        assert!(first.contains("DROP USER") && !later.contains("DROP USER"));
    }
}
