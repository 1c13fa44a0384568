//! What happens to the backed-up data when an object is deleted.

string_enum! {
    /// What deleting a BackupStorage, Repository or Snapshot does to the data behind it.
    #[derive(Default)]
    pub enum DeletionPolicy {
        /// Only the objects go; the data stays in the backend.
        #[default]
        Delete = "Delete",
        /// The data goes as well.
        WipeOut = "WipeOut",
    }
}

string_enum! {
    /// What deleting a backup configuration does to a repository that it made.
    pub enum RepositoryDeletionPolicy {
        /// The Repository and its Snapshots go; the data stays in the backend.
        Delete = "Delete",
        /// The data goes as well.
        WipeOut = "WipeOut",
        /// The Repository, its Snapshots and the data stay.
        Retain = "Retain",
    }
}

string_enum! {
    /// What deleting a blueprint does to the configurations made from it.
    pub enum BackupConfigurationDeletionPolicy {
        /// They are deleted with the blueprint.
        OnDelete = "OnDelete",
    }
}
