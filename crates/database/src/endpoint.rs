//! The address in an AppBinding's `spec.clientConfig.url`.
//!
//! Accepted forms: `tcp(host:port)/` (what KubeDB writes for MySQL), `scheme://host:port/…` with the
//! schemes of the families, also behind `jdbc:`, and a plain `host:port` or `host`. A path or query is
//! ignored. Credentials in the address are refused: they belong in the Secret, and an address is shown
//! in logs.

use crate::family::Family;

/// A host, its port, and the family that the address itself names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port; none: the family's usual one.
    pub port: Option<u16>,
    /// The family of the scheme, if there is one and it says so.
    pub family: Option<Family>,
}

/// Why an address cannot be read. The address itself is never part of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No host in it.
    #[error("it names no host")]
    NoHost,
    /// The port is not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// The scheme is of no family we know.
    #[error("its scheme {0:?} is not one of mysql, mariadb, postgresql, tcp")]
    Scheme(String),
    /// A user or password in it.
    #[error("it holds credentials; put them in the Secret that spec.secret names")]
    Credentials,
    /// A character that no host name has.
    #[error("its host holds a character that no host name has")]
    Host,
}

/// Reads an address.
///
/// # Errors
/// [`EndpointError`], without the address.
pub fn parse(url: &str) -> Result<Endpoint, EndpointError> {
    let url = url.trim();
    let url = url.strip_prefix("jdbc:").unwrap_or(url);
    if let Some(rest) = url.strip_prefix("tcp(") {
        let (authority, _) = rest.split_once(')').ok_or(EndpointError::NoHost)?;
        return authority_of(authority, None);
    }
    let (family, rest) = match url.split_once("://") {
        None => (None, url),
        Some((scheme, rest)) => (scheme_of(scheme)?, rest),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority_of(authority, family)
}

fn scheme_of(scheme: &str) -> Result<Option<Family>, EndpointError> {
    match scheme.to_ascii_lowercase().as_str() {
        "tcp" => Ok(None),
        "mysql" | "mariadb" => Ok(Some(Family::MySql)),
        "postgresql" | "postgres" => Ok(Some(Family::Postgres)),
        other => Err(EndpointError::Scheme(other.chars().take(32).collect())),
    }
}

fn authority_of(authority: &str, family: Option<Family>) -> Result<Endpoint, EndpointError> {
    if authority.contains('@') {
        return Err(EndpointError::Credentials);
    }
    // KubeDB lists several hosts of one cluster with commas; any of them answers.
    let authority = authority.split(',').next().unwrap_or_default().trim();
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or(EndpointError::Host)?;
            (host, tail.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if !host.chars().all(is_host) || host.starts_with('-') {
        return Err(EndpointError::Host);
    }
    let port = match port {
        None | Some("") => None,
        Some(port) => {
            let port: u16 = port.parse().map_err(|_| EndpointError::Port)?;
            Some(port)
                .filter(|port| *port != 0)
                .ok_or(EndpointError::Port)
                .map(Some)?
        }
    };
    Ok(Endpoint {
        host: host.to_owned(),
        port,
        family,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_read() {
        let mysql = Some(Family::MySql);
        let postgres = Some(Family::Postgres);
        let cases = [
            (
                "tcp(sample-mysql.demo.svc:3306)/",
                "sample-mysql.demo.svc",
                Some(3306),
                None,
            ),
            (
                "tcp(127.0.0.1:33061)/druid?x=y",
                "127.0.0.1",
                Some(33061),
                None,
            ),
            ("tcp([::1]:3306)/", "::1", Some(3306), None),
            ("tcp(db)/", "db", None, None),
            (
                "mysql://db.demo.svc:3306/druid",
                "db.demo.svc",
                Some(3306),
                mysql,
            ),
            ("mariadb://db", "db", None, mysql),
            (
                "jdbc:mysql://db:3306/druid?useSSL=false",
                "db",
                Some(3306),
                mysql,
            ),
            (
                "postgresql://pg.demo.svc:5432/druid",
                "pg.demo.svc",
                Some(5432),
                postgres,
            ),
            ("postgres://pg?sslmode=disable", "pg", None, postgres),
            ("tcp://db:3306", "db", Some(3306), None),
            ("db.demo.svc:3306", "db.demo.svc", Some(3306), None),
            (" db ", "db", None, None),
            ("[fe80::1%eth0]:3306", "fe80::1%eth0", Some(3306), None),
            ("mysql://a:3306,b:3306/x", "a", Some(3306), mysql),
        ];
        for (url, host, port, family) in cases {
            let expected = Endpoint {
                host: host.to_owned(),
                port,
                family,
            };
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_being_repeated() {
        let cases = [
            ("", EndpointError::NoHost),
            ("tcp(", EndpointError::NoHost),
            ("tcp()/", EndpointError::NoHost),
            ("mysql:///druid", EndpointError::NoHost),
            ("db:x", EndpointError::Port),
            ("db:0", EndpointError::Port),
            ("db:65536", EndpointError::Port),
            ("mysql://root:hunter2@db:3306", EndpointError::Credentials),
            ("root:hunter2@tcp(db:3306)/", EndpointError::Credentials),
            ("http://db:80", EndpointError::Scheme("http".into())),
            ("--help", EndpointError::Host),
            ("db;id:3306", EndpointError::Host),
            ("d b:3306", EndpointError::Host),
            ("[::1:3306", EndpointError::Host),
        ];
        for (url, expected) in cases {
            let error = parse(url).unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
