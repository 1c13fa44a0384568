//! How to reach a database, and as whom.

use std::fmt;

use zeroize::Zeroizing;

/// A user and its password; printing it shows neither.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Credentials of `user`.
    pub fn new(user: impl Into<String>, password: impl Into<Zeroizing<String>>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password. Whoever takes it must not print it.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

/// How much a connection demands of its encryption, beyond what certificates already say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Nothing is said: whatever client and server agree on.
    #[default]
    Unsaid,
    /// No encryption.
    Disabled,
    /// Encryption, whoever answers.
    Encrypted,
    /// The certificate is signed by an authority of the bundle.
    Authority,
    /// And it is for the host.
    Host,
}

/// A client's own certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and those between it and the authority, as PEM.
    pub certificate: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

/// What an AppBinding says about transport security.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM certificates that sign the server's; empty: there is nothing to check the server's
    /// with.
    pub ca_bundle: Vec<u8>,
    /// Name to check the certificate against instead of the host.
    pub server_name: Option<String>,
    /// True when the certificate shall not be checked although there are certificates to check it
    /// with.
    pub skip_verify: bool,
    /// The client's own certificate, if it has one.
    pub identity: Option<Identity>,
    /// What the address demands.
    pub demand: Demand,
}

/// What a connection does about encryption: what follows from all that an AppBinding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// None.
    Plain,
    /// Whatever client and server agree on.
    Negotiated,
    /// Encryption without a check of the server's certificate.
    Encrypted,
    /// The certificate's authority is checked.
    Authority,
    /// The certificate's authority and name are checked.
    Host,
}

/// A database server that can be connected to.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database to connect to where a family needs one, if the address names it.
    pub database: Option<String>,
    /// Who connects.
    pub credentials: Credentials,
    /// Transport security; none: whatever client and server agree on.
    pub tls: Option<Tls>,
    /// The object it was read from, for messages: `AppBinding demo/sample-mysql`.
    pub origin: String,
    /// The Secret the credentials were read from, for messages: `Secret demo/sample-mysql-auth`.
    pub secret: String,
}

impl Connection {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What to do about encryption. Certificates to check with are used unless somebody says that
    /// they shall not be.
    pub(crate) fn security(&self) -> Security {
        let Some(tls) = &self.tls else {
            return Security::Negotiated;
        };
        let checkable = !tls.ca_bundle.is_empty();
        match tls.demand {
            _ if tls.skip_verify => Security::Encrypted,
            Demand::Authority => Security::Authority,
            Demand::Host => Security::Host,
            _ if checkable => Security::Host,
            Demand::Encrypted => Security::Encrypted,
            _ if tls.identity.is_some() => Security::Encrypted,
            Demand::Disabled => Security::Plain,
            Demand::Unsaid => Security::Negotiated,
        }
    }

    /// The name that the server's certificate has to be for.
    pub(crate) fn expected_name(&self) -> &str {
        let named = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        named.unwrap_or(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_connection_shows_no_password() {
        let connection = Connection {
            host: "::1".into(),
            port: 3306,
            database: None,
            credentials: Credentials::new("root", "hunter2".to_owned()),
            tls: Some(Tls {
                identity: Some(Identity {
                    certificate: b"public".to_vec(),
                    key: b"hunter2".to_vec().into(),
                }),
                ..Tls::default()
            }),
            origin: "AppBinding demo/x".into(),
            secret: "Secret demo/x-auth".into(),
        };
        assert!(!format!("{connection:?}").contains("hunter2"));
        assert_eq!(connection.address(), "[::1]:3306");
    }

    #[test]
    fn certificates_are_used_unless_somebody_says_otherwise() {
        let with = |change: fn(&mut Tls)| {
            let mut tls = Tls::default();
            change(&mut tls);
            Connection {
                host: "db".into(),
                port: 1,
                database: None,
                credentials: Credentials::new("u", String::new()),
                tls: Some(tls),
                origin: String::new(),
                secret: String::new(),
            }
            .security()
        };
        let identity = || {
            Some(Identity {
                certificate: Vec::new(),
                key: Vec::new().into(),
            })
        };
        assert_eq!(with(|_| {}), Security::Negotiated);
        assert_eq!(with(|tls| tls.demand = Demand::Disabled), Security::Plain);
        assert_eq!(
            with(|tls| tls.demand = Demand::Encrypted),
            Security::Encrypted
        );
        assert_eq!(with(|tls| tls.ca_bundle = vec![1]), Security::Host);
        assert_eq!(
            with(|tls| (tls.ca_bundle, tls.demand) = (vec![1], Demand::Disabled)),
            Security::Host
        );
        assert_eq!(
            with(|tls| (tls.ca_bundle, tls.demand) = (vec![1], Demand::Authority)),
            Security::Authority
        );
        assert_eq!(
            with(|tls| (tls.ca_bundle, tls.skip_verify) = (vec![1], true)),
            Security::Encrypted
        );
        let tls = Tls {
            identity: identity(),
            ..Tls::default()
        };
        let connection = Connection {
            host: "db".into(),
            port: 1,
            database: None,
            credentials: Credentials::new("u", String::new()),
            tls: Some(tls),
            origin: String::new(),
            secret: String::new(),
        };
        assert_eq!(connection.security(), Security::Encrypted);
        assert_eq!(connection.expected_name(), "db");
    }
}
