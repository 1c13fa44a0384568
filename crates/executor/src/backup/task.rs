//! What a task of a backup stores.

use kubestash_domain::{layout, manifest};
use kubestash_engine::ReadBack;

use crate::arguments::{Backup, DUMP, ManifestBackup, Object};

/// A task: the dump of a database, or its manifests.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// The data in the database.
    Dump(&'a Backup),
    /// The Kubernetes objects of the database.
    Manifests(&'a ManifestBackup),
}

impl<'a> Task<'a> {
    /// The BackupSession.
    pub(super) fn session(self) -> &'a Object {
        match self {
            Self::Dump(backup) => &backup.session,
            Self::Manifests(backup) => &backup.session,
        }
    }

    /// The part of the Snapshot that it makes.
    pub(super) fn component(self) -> &'static str {
        match self {
            Self::Dump(_) => DUMP,
            Self::Manifests(_) => manifest::COMPONENT,
        }
    }

    /// Path of its file in the restic repository.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Dump(_) => layout::DUMP_FILE,
            Self::Manifests(_) => manifest::FILE,
        }
    }

    /// The file as the Snapshot names it: restic's stream has a name, a file in a folder has a
    /// path.
    pub(super) fn host_path(self) -> String {
        match self {
            Self::Dump(_) => self.file().to_owned(),
            Self::Manifests(_) => format!("/{}", self.file()),
        }
    }

    /// How much of the stored data is read back.
    pub(super) fn read_back(self) -> ReadBack {
        match self {
            Self::Dump(backup) => backup.read_back,
            Self::Manifests(backup) => backup.read_back,
        }
    }

    /// Whether it is the session's last task, which applies retention.
    pub(super) fn is_last(self) -> bool {
        match self {
            Self::Dump(backup) => backup.last_task,
            Self::Manifests(backup) => backup.last_task,
        }
    }
}
