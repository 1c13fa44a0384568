//! The kinds of databases whose manifests are understood.

use std::fmt;

use serde::{Deserialize, Serialize};

/// API group of all of them.
pub const GROUP: &str = "kubedb.com";

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the kinds'")]
pub enum DatabaseKind {
    Druid,
    MySQL,
    MariaDB,
    Postgres,
    ZooKeeper,
}

impl DatabaseKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Druid,
        Self::MySQL,
        Self::MariaDB,
        Self::Postgres,
        Self::ZooKeeper,
    ];

    /// The kind with this group and name.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|found| group == GROUP && found.name() == kind)
    }

    /// The kind's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Druid => "Druid",
            Self::MySQL => "MySQL",
            Self::MariaDB => "MariaDB",
            Self::Postgres => "Postgres",
            Self::ZooKeeper => "ZooKeeper",
        }
    }

    /// The resource's name, as RBAC and addresses spell it.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Druid => "druids",
            Self::MySQL => "mysqls",
            Self::MariaDB => "mariadbs",
            Self::Postgres => "postgreses",
            Self::ZooKeeper => "zookeepers",
        }
    }

    /// The key of the kind's options in `spec.manifestOptions`.
    #[must_use]
    pub fn options_key(self) -> &'static str {
        match self {
            Self::Druid => "druid",
            Self::MySQL => "mySQL",
            Self::MariaDB => "mariaDB",
            Self::Postgres => "postgres",
            Self::ZooKeeper => "zooKeeper",
        }
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
