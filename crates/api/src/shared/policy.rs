//! What happens to the backed-up data when an object is deleted.

string_enum! {
    /// What deleting a BackupStorage, Repository or Snapshot does to the data behind it.
    #[derive(Default)]
    pub enum DeletionPolicy {
        /// Only the objects are deleted; the data stays in the backend.
        #[default]
        Delete = "Delete",
        /// The data is removed as well.
        WipeOut = "WipeOut",
    }
}

string_enum! {
    /// What deleting a backup configuration does to a repository that it created.
    pub enum RepositoryDeletionPolicy {
        /// The Repository and its Snapshots are deleted; the data stays in the backend.
        Delete = "Delete",
        /// The data is removed as well.
        WipeOut = "WipeOut",
        /// The Repository, its Snapshots and the data stay.
        Retain = "Retain",
    }
}

string_enum! {
    /// What deleting a blueprint does to the configurations created from it.
    pub enum BackupConfigurationDeletionPolicy {
        /// They are deleted with the blueprint.
        OnDelete = "OnDelete",
    }
}
