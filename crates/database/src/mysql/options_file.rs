//! The option file that tells a client where to connect and as whom.
//!
//! It is given with `--defaults-file`, so the client reads no other option file: what an image or a
//! home folder says cannot change the host or add options.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::client::Client;
use crate::connection::{Connection, Security};
use crate::private_dir::{CertificateFiles, PrivateDir};

/// Writes the file (and the certificates it names) into `dir` and returns its path.
pub(crate) fn write(dir: &PrivateDir, client: &Client, to: &Connection) -> io::Result<PathBuf> {
    let files = CertificateFiles::write(dir, to)?;
    let text = render(client, to, &files);
    dir.write("client.cnf", text.as_bytes())
}

fn render(client: &Client, to: &Connection, files: &CertificateFiles) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str("[client]\nprotocol=tcp\n");
    line(&mut text, "host", &to.host);
    line(&mut text, "port", &to.port.to_string());
    line(&mut text, "user", to.credentials.user());
    line(&mut text, "password", to.credentials.password());
    let security = to.security();
    for (name, file) in [
        ("ssl-ca", &files.authority),
        ("ssl-cert", &files.certificate),
        ("ssl-key", &files.key),
    ] {
        if let Some(file) = file {
            line(&mut text, name, file);
        }
    }
    // The clients compare the certificate with the host only. Another name was checked a moment
    // ago, when we asked the server for its databases.
    let other_name = to.expected_name() != to.host;
    if client.knows("ssl-mode") {
        // MySQL.
        let mode = match security {
            Security::Plain => Some("DISABLED"),
            Security::Negotiated => None,
            Security::Encrypted => Some("REQUIRED"),
            Security::Authority | Security::Host if other_name => Some("VERIFY_CA"),
            Security::Authority | Security::Host => Some("VERIFY_IDENTITY"),
        };
        if let Some(mode) = mode {
            line(&mut text, "ssl-mode", mode);
        }
    } else if client.knows("ssl-verify-server-cert") {
        // MariaDB. From 11.4 on it checks by default, and fails without certificates to check with.
        text.push_str(match security {
            Security::Plain => "skip-ssl\n",
            Security::Negotiated => "skip-ssl-verify-server-cert\n",
            Security::Authority | Security::Host if !other_name => "ssl\nssl-verify-server-cert\n",
            _ => "ssl\nskip-ssl-verify-server-cert\n",
        });
    }
    text
}

/// Appends `name="value"`. Inside double quotes the clients know backslash escapes, and `#` is no
/// comment.
fn line(text: &mut Zeroizing<String>, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push(c),
        }
    }
    text.push_str("\"\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Credentials, Tls};

    fn connection(password: &str, tls: Option<Tls>) -> Connection {
        Connection {
            host: "db.demo.svc".into(),
            port: 3306,
            database: None,
            credentials: Credentials::new("root", password.to_owned()),
            tls,
            origin: String::new(),
            secret: String::new(),
        }
    }

    #[test]
    fn awkward_passwords_stay_one_value() {
        let text = render(
            &Client::for_tests("mariadb", &["ssl-verify-server-cert"]),
            &connection("a\"b\\c#d\ne;[client]", None),
            &CertificateFiles::default(),
        );
        assert!(
            text.contains("password=\"a\\\"b\\\\c#d\\ne;[client]\"\n"),
            "{}",
            *text
        );
        assert_eq!(text.lines().filter(|line| line.starts_with('[')).count(), 1);
        assert!(text.contains("\nskip-ssl-verify-server-cert\n"));
    }

    #[test]
    fn certificates_are_checked_when_there_are_some_to_check_with() {
        let tls = Tls {
            ca_bundle: b"pem".to_vec(),
            ..Tls::default()
        };
        let files = CertificateFiles {
            authority: Some("/d/ca.pem".into()),
            ..CertificateFiles::default()
        };
        let mysql = Client::for_tests("mysql", &["ssl-mode"]);
        let maria = Client::for_tests("mariadb", &["ssl-verify-server-cert"]);
        let verified = connection("x", Some(tls.clone()));
        assert!(render(&mysql, &verified, &files).contains("ssl-mode=\"VERIFY_IDENTITY\""));
        assert!(render(&maria, &verified, &files).contains("\nssl\nssl-verify-server-cert\n"));
        let lax = connection(
            "x",
            Some(Tls {
                skip_verify: true,
                ..tls
            }),
        );
        assert!(render(&mysql, &lax, &files).contains("ssl-mode=\"REQUIRED\""));
    }
}
