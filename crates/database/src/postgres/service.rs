//! The files that tell a client where to connect and as whom: a service file, a password file,
//! certificates.
//!
//! All are of mode 0600 in a private folder. A client finds the service file by an environment
//! variable that holds its path, and everything else in it; of our own environment it sees nothing.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio::process::Command;
use zeroize::Zeroizing;

use crate::connection::{Connection, Security};
use crate::private_dir::{CertificateFiles, PrivateDir};

/// Name of the service in the file.
const SERVICE: &str = "kubestash";

/// Where the service file is.
#[derive(Clone, Debug)]
pub(super) struct Service {
    file: PathBuf,
}

/// What such files cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineBreak;

/// Whether the credentials can be written into such files, which know no line breaks.
///
/// # Errors
/// If there is one.
pub(super) fn writable(to: &Connection) -> Result<(), LineBreak> {
    let credentials = [to.credentials.user(), to.credentials.password()];
    match credentials.iter().any(|text| text.contains(['\n', '\r'])) {
        true => Err(LineBreak),
        false => Ok(()),
    }
}

impl Service {
    /// Writes the files into `dir`.
    pub(super) async fn write(dir: &PrivateDir, to: &Connection) -> io::Result<Self> {
        let address = match to.expected_name() == to.host {
            true => None,
            false => Some(address_of(to).await?),
        };
        let certificates = CertificateFiles::write(dir, to)?;
        let password = to.credentials.password();
        let password = match password.is_empty() {
            true => None,
            false => Some(dir.write("pgpass", password_line(password).as_bytes())?),
        };
        let text = render(to, address, password.as_ref(), &certificates);
        Ok(Self {
            file: dir.write("pg_service.conf", text.as_bytes())?,
        })
    }

    /// Lets a command find the file.
    pub(super) fn show_to(&self, command: &mut Command) {
        command.env("PGSERVICEFILE", &self.file);
        if let Some(folder) = self.file.parent() {
            // Where it would look for a file of the whole system.
            command.env("PGSYSCONFDIR", folder);
        }
    }

    /// The option that names server and database.
    pub(super) fn option(&self, database: &str) -> String {
        format!("--dbname=service={SERVICE} dbname='{}'", escaped(database))
    }

    /// The same, and what the session calls itself.
    pub(super) fn option_of(&self, database: &str, session: &str) -> String {
        let session = escaped(session);
        format!("{} application_name='{session}'", self.option(database))
    }
}

/// A value within quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'")
}

async fn address_of(to: &Connection) -> io::Result<IpAddr> {
    if let Ok(address) = to.host.parse() {
        return Ok(address);
    }
    let mut found = tokio::net::lookup_host((to.host.as_str(), to.port)).await?;
    let first = found.next().map(|address| address.ip());
    first.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn password_line(password: &str) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(password.len() * 2 + 16));
    line.push_str("*:*:*:*:");
    for c in password.chars() {
        if matches!(c, '\\' | ':') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push('\n');
    line
}

fn render(
    to: &Connection,
    address: Option<IpAddr>,
    password: Option<&PathBuf>,
    certificates: &CertificateFiles,
) -> String {
    let security = to.security();
    let mode = match security {
        Security::Plain => "disable",
        Security::Negotiated => "prefer",
        Security::Encrypted => "require",
        Security::Authority => "verify-ca",
        Security::Host => "verify-full",
    };
    // With certificates at hand "require" would check them.
    let checks = matches!(security, Security::Authority | Security::Host);
    let authority = certificates.authority.clone().filter(|_| checks);
    let lines = [
        ("host", Some(to.expected_name().to_owned())),
        ("hostaddr", address.map(|address| address.to_string())),
        ("port", Some(to.port.to_string())),
        ("user", Some(to.credentials.user().to_owned())),
        (
            "passfile",
            Some(password.map_or("/nonexistent".into(), |file| file.display().to_string())),
        ),
        ("sslmode", Some(mode.to_owned())),
        ("sslrootcert", authority),
        ("sslcert", certificates.certificate.clone()),
        ("sslkey", certificates.key.clone()),
        ("gssencmode", Some("disable".to_owned())),
        ("connect_timeout", Some("30".to_owned())),
        ("application_name", Some("kubestash".to_owned())),
    ];
    let lines = lines
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}\n", value?)));
    format!("[{SERVICE}]\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Credentials, Tls};

    fn connection(password: &str, tls: Option<Tls>) -> Connection {
        Connection {
            host: "db.demo.svc".into(),
            port: 5432,
            database: None,
            credentials: Credentials::new("keeper", password.to_owned()),
            tls,
            origin: String::new(),
            secret: String::new(),
        }
    }

    #[test]
    fn awkward_passwords_stay_one_field() {
        assert_eq!(*password_line("a:b\\c#d 'e"), "*:*:*:*:a\\:b\\\\c#d 'e\n");
        assert_eq!(writable(&connection("a\nb", None)), Err(LineBreak));
        assert_eq!(writable(&connection("a b", None)), Ok(()));
    }

    #[test]
    fn certificates_are_named_only_where_they_are_checked() {
        let files = CertificateFiles {
            authority: Some("/d/ca.pem".into()),
            ..CertificateFiles::default()
        };
        let tls = |change: fn(&mut Tls)| {
            let mut tls = Tls {
                ca_bundle: vec![1],
                ..Tls::default()
            };
            change(&mut tls);
            render(&connection("x", Some(tls)), None, None, &files)
        };
        let checked = tls(|_| {});
        assert!(checked.contains("sslmode=verify-full\nsslrootcert=/d/ca.pem\n"));
        let lax = tls(|tls| tls.skip_verify = true);
        assert!(lax.contains("sslmode=require\n") && !lax.contains("sslrootcert"));
        let other = tls(|tls| tls.server_name = Some("primary".into()));
        assert!(other.contains("host=primary\n"), "{other}");
        let none = render(
            &connection("x", None),
            None,
            None,
            &CertificateFiles::default(),
        );
        assert!(none.contains("sslmode=prefer\n") && !none.contains("password="));
    }

    #[test]
    fn a_databases_name_is_only_ever_a_name() {
        let service = Service {
            file: "/d/pg_service.conf".into(),
        };
        assert_eq!(
            service.option("x' host='evil\\"),
            "--dbname=service=kubestash dbname='x\\' host=\\'evil\\\\'"
        );
    }
}
