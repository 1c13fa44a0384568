//! The address in an AppBinding's `spec.clientConfig.url`.
//!
//! Accepted forms: `tcp(host:port)/` (what KubeDB writes for MySQL), `scheme://host:port/…` with
//! the schemes of the families, also behind `jdbc:`, and a plain `host:port` or `host`. The path is
//! the database to connect to; of the query only what it demands of the encryption is read.
//! Credentials in the address are refused: they belong in the Secret, and an address is shown in
//! logs.

use crate::connection::Demand;
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
    /// The database in the path, if there is one.
    pub database: Option<String>,
    /// What the query demands of the encryption.
    pub demand: Demand,
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
    #[error("its scheme {0:?} is not tcp or one of a database: {list}", list = schemes())]
    Scheme(String),
    /// The query demands something of the encryption that we do not know.
    #[error("its {0} is not one of disable, prefer, require, verify-ca, verify-full")]
    Demand(String),
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
        let (authority, rest) = rest.split_once(')').ok_or(EndpointError::NoHost)?;
        return authority_of(authority, None)?.with(rest);
    }
    let (family, rest) = match url.split_once("://") {
        None => (None, url),
        Some((scheme, rest)) => (scheme_of(scheme)?, rest),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    authority_of(&rest[..end], family)?.with(&rest[end..])
}

/// What a query such as `sslmode=require` demands of the encryption.
///
/// # Errors
/// [`EndpointError::Demand`] for a demand that is none.
pub fn demand(query: &str) -> Result<Demand, EndpointError> {
    let pairs = query.trim_start_matches('?').split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    let known = ["sslmode", "ssl-mode", "ssl_mode"];
    let found = pairs.find(|(name, _)| known.contains(&name.to_ascii_lowercase().as_str()));
    let Some((name, value)) = found else {
        return Ok(Demand::Unsaid);
    };
    match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Ok(Demand::Disabled),
        "" | "allow" | "prefer" | "preferred" => Ok(Demand::Unsaid),
        "require" | "required" => Ok(Demand::Encrypted),
        "verify-ca" => Ok(Demand::Authority),
        "verify-full" | "verify-identity" => Ok(Demand::Host),
        _ => Err(EndpointError::Demand(name.to_owned())),
    }
}

impl Endpoint {
    /// Reads what stands behind host and port: `/database?query`.
    fn with(mut self, rest: &str) -> Result<Self, EndpointError> {
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let database = path.trim_matches('/');
        // A name with escapes is rarer than a path that means something else.
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
        if !database.is_empty() && database.chars().all(plain) {
            self.database = Some(database.to_owned());
        }
        self.demand = demand(query)?;
        Ok(self)
    }
}

fn scheme_of(scheme: &str) -> Result<Option<Family>, EndpointError> {
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "tcp" {
        return Ok(None);
    }
    match Family::ALL
        .into_iter()
        .find(|family| family.facts().schemes.contains(&scheme.as_str()))
    {
        Some(family) => Ok(Some(family)),
        None => Err(EndpointError::Scheme(scheme.chars().take(32).collect())),
    }
}

fn schemes() -> String {
    let schemes = Family::ALL.iter().flat_map(|family| family.facts().schemes);
    schemes.copied().collect::<Vec<_>>().join(", ")
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
        database: None,
        demand: Demand::Unsaid,
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
            let found = parse(url).unwrap();
            assert_eq!(
                (found.host.as_str(), found.port, found.family),
                (host, port, family),
                "{url}"
            );
        }
    }

    #[test]
    fn path_and_query_name_the_database_and_what_is_demanded_of_the_encryption() {
        let cases = [
            ("postgres://db", None, Demand::Unsaid),
            ("postgres://db/", None, Demand::Unsaid),
            (
                "postgres://db:25060/defaultdb?ssl-mode=REQUIRED",
                Some("defaultdb"),
                Demand::Encrypted,
            ),
            (
                "postgresql://db/my_db?application_name=x&sslmode=verify-full#y",
                Some("my_db"),
                Demand::Host,
            ),
            (
                "mysql://db/x?sslMode=VERIFY_CA",
                Some("x"),
                Demand::Authority,
            ),
            ("tcp(db:1)/?sslmode=disable", None, Demand::Disabled),
            ("tcp(db:1)/x", Some("x"), Demand::Unsaid),
            ("db:1/a%20b", None, Demand::Unsaid),
        ];
        for (url, database, demand) in cases {
            let found = parse(url).unwrap();
            assert_eq!(
                (found.database.as_deref(), found.demand),
                (database, demand),
                "{url}"
            );
        }
        let error = parse("postgres://db/x?sslmode=hunter2").unwrap_err();
        assert_eq!(error, EndpointError::Demand("sslmode".into()));
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
