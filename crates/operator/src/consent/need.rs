//! What a reference to another namespace would let the author of an object do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One use of something in another namespace. It is the unit that is granted, so it names
/// everything on which the author's right depends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "use", rename_all = "camelCase")]
pub(crate) enum Need {
    /// Have a Job read a Secret.
    ReadSecret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Back up a database.
    BackUp {
        /// API group of the database or AppBinding.
        group: String,
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Restore into a database.
    RestoreInto {
        /// API group of the database or AppBinding.
        group: String,
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Restore the snapshots of a Repository.
    #[serde(rename_all = "camelCase")]
    ReadData {
        /// Namespace of Repository and Snapshot.
        namespace: String,
        /// The Repository, empty if only a Snapshot is named.
        repository: String,
        /// The Snapshot, empty if the newest one is meant.
        snapshot: String,
        /// Whether the session brings the password itself; otherwise the Repository's Secret is
        /// read for it.
        own_password: bool,
    },
    /// Create objects of a kind, and look at those there are.
    Create {
        /// Namespace of the objects.
        namespace: String,
        /// API group of the kind.
        group: String,
        /// The kind's resource.
        resource: String,
    },
    /// Give objects of a kind another content.
    Replace {
        /// Namespace of the objects.
        namespace: String,
        /// API group of the kind.
        group: String,
        /// The kind's resource.
        resource: String,
    },
    /// Make BackupConfigurations from a blueprint.
    Configure {
        /// Namespace of the BackupConfigurations.
        namespace: String,
    },
}

impl Need {
    /// The namespace of what is used.
    #[must_use]
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::ReadSecret { namespace, .. }
            | Self::BackUp { namespace, .. }
            | Self::RestoreInto { namespace, .. }
            | Self::ReadData { namespace, .. }
            | Self::Create { namespace, .. }
            | Self::Replace { namespace, .. }
            | Self::Configure { namespace } => namespace,
        }
    }

    /// What it takes, in words, for someone who wants to be able to do it.
    #[must_use]
    pub(crate) fn right(&self) -> String {
        match self {
            Self::ReadSecret { namespace, name } => format!("get Secret {namespace}/{name}"),
            Self::BackUp {
                kind,
                namespace,
                name,
                ..
            } => format!("get {kind} {namespace}/{name}, its AppBinding and its Secrets"),
            Self::RestoreInto {
                kind,
                namespace,
                name,
                ..
            } => format!("update {kind} {namespace}/{name} and get its Secrets"),
            Self::ReadData {
                namespace,
                own_password: true,
                ..
            } => format!("get the Repository and the Snapshot in namespace {namespace}"),
            Self::ReadData { namespace, .. } => format!(
                "get the Repository, the Snapshot and the encryption Secret in namespace {namespace}"
            ),
            Self::Create {
                namespace,
                resource,
                ..
            } => format!("get and create {resource} in namespace {namespace}"),
            Self::Replace {
                namespace,
                resource,
                ..
            } => format!("get and update {resource} in namespace {namespace}"),
            Self::Configure { namespace } => {
                format!("create backupconfigurations in namespace {namespace}")
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadSecret { namespace, name } => {
                write!(formatter, "reading Secret {namespace}/{name}")
            }
            Self::BackUp {
                kind,
                namespace,
                name,
                ..
            } => write!(formatter, "backing up {kind} {namespace}/{name}"),
            Self::RestoreInto {
                kind,
                namespace,
                name,
                ..
            } => write!(formatter, "restoring into {kind} {namespace}/{name}"),
            Self::ReadData {
                namespace,
                repository,
                snapshot,
                ..
            } => match repository.as_str() {
                "" => write!(formatter, "restoring Snapshot {namespace}/{snapshot}"),
                _ => write!(
                    formatter,
                    "restoring the data of Repository {namespace}/{repository}"
                ),
            },
            Self::Create {
                namespace,
                resource,
                ..
            } => write!(formatter, "creating {resource} in namespace {namespace}"),
            Self::Replace {
                namespace,
                resource,
                ..
            } => write!(formatter, "replacing {resource} in namespace {namespace}"),
            Self::Configure { namespace } => {
                write!(
                    formatter,
                    "creating BackupConfigurations in namespace {namespace}"
                )
            }
        }
    }
}
