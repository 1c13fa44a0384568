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

/// What an AppBinding says about transport security.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM certificates that sign the server's; empty: the server's certificate is not checked.
    pub ca_bundle: Vec<u8>,
    /// Name to check the certificate against instead of the host.
    pub server_name: Option<String>,
    /// True when the certificate shall not be checked although there are certificates to check it with.
    pub skip_verify: bool,
    /// Secret, in the AppBinding's namespace, with the client's own certificate.
    pub client_secret: Option<String>,
}

/// A database server that can be connected to.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_connection_shows_no_password() {
        let connection = Connection {
            host: "::1".into(),
            port: 3306,
            credentials: Credentials::new("root", "hunter2".to_owned()),
            tls: None,
            origin: "AppBinding demo/x".into(),
            secret: "Secret demo/x-auth".into(),
        };
        assert!(!format!("{connection:?}").contains("hunter2"));
        assert_eq!(connection.address(), "[::1]:3306");
    }
}
