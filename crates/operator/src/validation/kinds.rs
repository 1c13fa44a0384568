//! Which kinds the webhook is asked about.
//!
//! Of a Repository its directory and its references are looked at. A BackupSession is immutable, as
//! its schema says, and has no reference that leaves its namespace.

/// A kind with rules or defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BackupStorage,
    RetentionPolicy,
    BackupConfiguration,
    BackupBlueprint,
    RestoreSession,
    HookTemplate,
    Repository,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::BackupStorage,
        Self::RetentionPolicy,
        Self::BackupConfiguration,
        Self::BackupBlueprint,
        Self::RestoreSession,
        Self::HookTemplate,
        Self::Repository,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BackupStorage => "BackupStorage",
            Self::RetentionPolicy => "RetentionPolicy",
            Self::BackupConfiguration => "BackupConfiguration",
            Self::BackupBlueprint => "BackupBlueprint",
            Self::RestoreSession => "RestoreSession",
            Self::HookTemplate => "HookTemplate",
            Self::Repository => "Repository",
        }
    }

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::BackupStorage => "backupstorages",
            Self::RetentionPolicy => "retentionpolicies",
            Self::BackupConfiguration => "backupconfigurations",
            Self::BackupBlueprint => "backupblueprints",
            Self::RestoreSession => "restoresessions",
            Self::HookTemplate => "hooktemplates",
            Self::Repository => "repositories",
        }
    }

    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::BackupStorage | Self::RetentionPolicy | Self::Repository => {
                "storage.kubestash.com"
            }
            _ => "core.kubestash.com",
        }
    }

    /// Whether objects of the kind get defaults.
    pub(crate) fn is_defaulted(self) -> bool {
        matches!(
            self,
            Self::BackupStorage
                | Self::RetentionPolicy
                | Self::BackupConfiguration
                | Self::BackupBlueprint
                | Self::HookTemplate
        )
    }

    /// Whether the webhook may change objects of the kind: it fills in defaults, or writes down
    /// what they may refer to.
    pub(crate) fn is_mutated(self) -> bool {
        self.is_defaulted() || crate::consent::admit::concerns(self)
    }

    /// Whether objects of the kind have rules that their schema cannot hold.
    pub(crate) fn is_validated(self) -> bool {
        self != Self::HookTemplate
    }

    pub(crate) fn validate_path(self) -> String {
        self.path("validate")
    }

    pub(crate) fn mutate_path(self) -> String {
        self.path("mutate")
    }

    fn path(self, verb: &str) -> String {
        format!(
            "/{verb}-{}-v1alpha1-{}",
            self.group().replace('.', "-"),
            self.name().to_ascii_lowercase()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_are_those_clients_of_this_api_know() {
        assert_eq!(
            Kind::BackupStorage.validate_path(),
            "/validate-storage-kubestash-com-v1alpha1-backupstorage"
        );
        assert_eq!(
            Kind::BackupConfiguration.mutate_path(),
            "/mutate-core-kubestash-com-v1alpha1-backupconfiguration"
        );
    }
}
