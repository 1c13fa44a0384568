//! What can go wrong with a database of ours.

use std::io;
use std::path::PathBuf;

/// A step of the provider failed; it is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubedbError {
    /// The API server refused or did not answer.
    #[error("failed to {action}")]
    Api {
        /// What was tried.
        action: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// A file or directory could not be used.
    #[error("failed to prepare {path:?}: check that the data directory is writable and has space")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// There is no server program.
    #[error("failed to find a {server} server: {names} is on PATH; install the package {package}")]
    NoServer {
        /// What kind of server.
        server: &'static str,
        /// What was looked for, with its negation.
        names: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A helper program of the server failed.
    #[error("failed to {action}: {reason}; its output is in {log:?}")]
    Program {
        /// What was tried.
        action: &'static str,
        /// How it ended.
        reason: String,
        /// Where it wrote.
        log: PathBuf,
    },
    /// The server does not take connections, or refuses a statement.
    #[error("failed to {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Secret that should hold credentials does not.
    #[error(
        "failed to use Secret {namespace}/{name}: it has to exist and needs the keys username and password, with values"
    )]
    Secret {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
    },
    /// An object exists that belongs to somebody else.
    #[error(
        "failed to use {kind} {namespace}/{name}: it exists and belongs to something else; remove it or choose another name"
    )]
    Foreign {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
    },
}

impl KubedbError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Api { .. } => "ApiRequestFailed",
            Self::Disk { .. } => "DataDirUnusable",
            Self::NoServer { .. } => "ServerProgramMissing",
            Self::Program { .. } => "ServerProgramFailed",
            Self::Database { .. } => "ServerUnreachable",
            Self::Secret { .. } => "AuthSecretInvalid",
            Self::Foreign { .. } => "NameTaken",
        }
    }

    /// For use with `map_err`.
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api {
            action,
            source: Box::new(source),
        }
    }

    /// For use with `map_err`.
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }

    /// For use with `map_err`.
    pub(crate) fn database<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Database {
            action,
            source: Box::new(source),
        }
    }

    /// Whether it lasts until somebody changes an object.
    pub(crate) fn is_the_users(&self) -> bool {
        matches!(self, Self::Secret { .. } | Self::Foreign { .. })
    }

    /// The error with its causes, for a condition or an Event.
    pub(crate) fn told(&self) -> String {
        let mut text = self.to_string();
        if let Self::Api { source, .. } = self {
            return format!("{text}: {}", kubestash_node::spoken(source));
        }
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.contains(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}
