//! Condition types and their reasons.
//!
//! A condition is a [`ConditionType`]: its type, and the reasons it has when it holds and when it
//! does not. Invariant: no other file spells one of these words.
//!
//! ```
//! use kubestash_api::conditions::backup_storage::BACKEND_INITIALIZED;
//! assert_eq!(BACKEND_INITIALIZED.type_, "BackendInitialized");
//! assert_eq!(BACKEND_INITIALIZED.reason(false), "BackendInitializationFailed");
//! ```

/// A condition's type, with the reason for either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionType {
    /// The type.
    pub type_: &'static str,
    /// The reason when the condition is True.
    pub true_reason: &'static str,
    /// The reason when the condition is False.
    pub false_reason: &'static str,
}

impl ConditionType {
    const fn new(
        type_: &'static str,
        true_reason: &'static str,
        false_reason: &'static str,
    ) -> Self {
        Self {
            type_,
            true_reason,
            false_reason,
        }
    }

    /// The reason of a condition that holds, or of one that does not.
    #[must_use]
    pub const fn reason(self, holds: bool) -> &'static str {
        if holds {
            self.true_reason
        } else {
            self.false_reason
        }
    }
}

/// The condition of every kind that says whether the object does its work, so that
/// `kubectl wait --for=condition=Ready` works. Its reason is the phase, or the kind of the error.
pub const READY: &str = "Ready";

/// Conditions of a BackupStorage.
pub mod backup_storage {
    use super::ConditionType;

    /// The storage is reachable and set up.
    pub const BACKEND_INITIALIZED: ConditionType = ConditionType::new(
        "BackendInitialized",
        "BackendInitializationSucceeded",
        "BackendInitializationFailed",
    );
    /// The Secret with the credentials is there.
    pub const BACKEND_SECRET_FOUND: ConditionType = ConditionType::new(
        "BackendSecretFound",
        "BackendSecretAvailable",
        "BackendSecretNotAvailable",
    );
}

/// Conditions of a Repository.
pub mod repository {
    use super::ConditionType;

    /// The Repository is set up in its storage.
    pub const REPOSITORY_INITIALIZED: ConditionType = ConditionType::new(
        "RepositoryInitialized",
        "RepositoryInitializationSucceeded",
        "RepositoryInitializationFailed",
    );
    /// The Repository's directory contains another one's or lies in it; True is bad.
    pub const DIRECTORY_NESTED: ConditionType =
        ConditionType::new("DirectoryNested", "DirectoryNested", "DirectoryApart");
    /// All Snapshots can be restored, as far as the data was looked at. Ours.
    pub const DATA_INTACT: ConditionType =
        ConditionType::new("DataIntact", "DataIntact", "DataDamaged");
}

/// Conditions of a Snapshot.
pub mod snapshot {
    use super::ConditionType;

    /// The Snapshot's YAML is beside its data.
    pub const SNAPSHOT_METADATA_UPLOADED: ConditionType = ConditionType::new(
        "SnapshotMetadataUploaded",
        "SuccessfullyUploadedSnapshotMetadata",
        "FailedToUploadSnapshotMetadata",
    );
    /// The Repository lists the Snapshot.
    pub const RECENT_SNAPSHOT_LIST_UPDATED: ConditionType = ConditionType::new(
        "RecentSnapshotListUpdated",
        "SuccessfullyUpdatedRecentSnapshotList",
        "FailedToUpdateRecentSnapshotList",
    );
    /// The backup ended before it was complete; True is bad.
    pub const BACKUP_INCOMPLETE: ConditionType = ConditionType::new(
        "BackupIncomplete",
        "BackupExecutorTerminatedBeforeCompletion",
        "BackupIncomplete",
    );
    /// The data is there, as far as a later run looked at it. Only on Snapshots whose data was
    /// found damaged. Ours.
    pub const DATA_INTACT: ConditionType =
        ConditionType::new("DataIntact", "DataRestored", "DataDamaged");
    /// Something was seen that may keep a restore from working or from being complete; True is bad.
    /// The phase does not depend on it. Ours.
    pub const HAS_WARNINGS: ConditionType =
        ConditionType::new("HasWarnings", "WarningsFound", "NoWarnings");
}

/// Conditions of a BackupConfiguration or BackupBatch as a whole.
pub mod invoker {
    use super::ConditionType;

    /// The object can work as it is written.
    pub const VALIDATION_PASSED: ConditionType = ConditionType::new(
        "ValidationPassed",
        "ResourceValidationPassed",
        "ResourceValidationFailed",
    );
}

/// Conditions of one session of a BackupConfiguration (`status.sessions[]`).
pub mod session {
    use super::ConditionType;

    /// The session is on the schedule.
    pub const SCHEDULER_ENSURED: ConditionType = ConditionType::new(
        "SchedulerEnsured",
        "SchedulerEnsured",
        "SchedulerNotEnsured",
    );
    /// The backup that every session starts once at its beginning was triggered.
    pub const INITIAL_BACKUP_TRIGGERED: ConditionType = ConditionType::new(
        "InitialBackupTriggered",
        "SuccessfullyTriggeredInitialBackup",
        "FailedToTriggerInitialBackup",
    );
}

/// Conditions of a BackupSession.
pub mod backup_session {
    use super::ConditionType;

    /// The session was not run; True means skipped.
    pub const BACKUP_SKIPPED: ConditionType = ConditionType::new(
        "BackupSkipped",
        "PreRequisitesNotSatisfied",
        "BackupSkipped",
    );
    /// The Snapshot objects were created.
    pub const SNAPSHOTS_ENSURED: ConditionType = ConditionType::new(
        "SnapshotsEnsured",
        "SuccessfullyEnsuredSnapshots",
        "FailedToEnsureSnapshots",
    );
    /// The Job was created.
    pub const BACKUP_EXECUTOR_ENSURED: ConditionType = ConditionType::new(
        "BackupExecutorEnsured",
        "SuccessfullyEnsuredBackupExecutor",
        "FailedToEnsureBackupExecutor",
    );
    /// The hooks before the backup succeeded.
    pub const PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED: ConditionType = ConditionType::new(
        "PreBackupHooksExecutionSucceeded",
        "SuccessfullyExecutedPreBackupHooks",
        "FailedToExecutePreBackupHooks",
    );
    /// The hooks after the backup succeeded.
    pub const POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED: ConditionType = ConditionType::new(
        "PostBackupHooksExecutionSucceeded",
        "SuccessfullyExecutedPostBackupHooks",
        "FailedToExecutePostBackupHooks",
    );
    /// What applies the retention policies was created. The phase does not depend on it.
    pub const RETENTION_POLICY_EXECUTOR_ENSURED: ConditionType = ConditionType::new(
        "RetentionPolicyExecutorEnsured",
        "SuccessfullyEnsuredRetentionPolicyExecutor",
        "FailedToEnsureRetentionPolicyExecutor",
    );
    /// Sessions beyond the history limit were deleted.
    pub const SESSION_HISTORY_CLEANED: ConditionType = ConditionType::new(
        "SessionHistoryCleaned",
        "SuccessfullyCleanedSessionHistory",
        "FailedToCleanSessionHistory",
    );
    /// Removing old snapshots ended before it was complete; True is bad.
    pub const SNAPSHOT_CLEANUP_INCOMPLETE: ConditionType = ConditionType::new(
        "SnapshotCleanupIncomplete",
        "SnapshotCleanupTerminatedBeforeCompletion",
        "SnapshotCleanupIncomplete",
    );
    /// What the condition of the same name of its Snapshots says. Ours.
    pub const HAS_WARNINGS: ConditionType = super::snapshot::HAS_WARNINGS;
    /// The pod does not start. The phase does not depend on it.
    pub const POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED: ConditionType =
        ConditionType::new(
            "PodHasBeenInPendingStateForLongerThanExpected",
            "PodHasBeenInPendingStateForLongerThanExpected",
            "PodHasBeenInPendingStateForLongerThanExpected",
        );
}

/// Conditions that the executor of a BackupSession or RestoreSession writes while it works.
pub mod executor {
    use super::ConditionType;

    /// The Job waits for something: another one's lock, or a storage or a database that does not
    /// answer. The reason says for which. The phase does not depend on it.
    pub const WAITING: ConditionType = ConditionType::new("Waiting", "Waiting", "NotWaiting");
    /// The reason while another one's lock is waited for.
    pub const REPOSITORY_LOCKED: &str = "RepositoryLocked";
    /// The reason while a storage does not answer.
    pub const STORAGE_UNAVAILABLE: &str = "StorageUnavailable";
    /// Reason of [`WAITING`]: the database does not answer.
    pub const DATABASE_UNREACHABLE: &str = "DatabaseUnreachable";
    /// Snapshots were found that are dated in the future: retention neither counts nor removes
    /// them. The phase does not depend on it.
    pub const SNAPSHOTS_DATED_IN_FUTURE: ConditionType = ConditionType::new(
        "SnapshotsDatedInFuture",
        "ClockWasAhead",
        "SnapshotsDatedInFuture",
    );
}

/// The last condition of a BackupSession or RestoreSession: the phase is final once it is there.
pub mod completion {
    use super::ConditionType;

    /// Everything is done.
    pub const METRICS_PUSHED: ConditionType = ConditionType::new(
        "MetricsPushed",
        "SuccessfullyPushedMetrics",
        "FailedToPushMetrics",
    );
}

/// Conditions of a RestoreSession; see [`invoker`] and [`completion`] for the others.
pub mod restore_session {
    use super::ConditionType;

    /// The target is there.
    pub const RESTORE_TARGET_FOUND: ConditionType = ConditionType::new(
        "RestoreTargetFound",
        "RestoreTargetFound",
        "UnableToCheckTargetAvailability",
    );
    /// The Job was created.
    pub const RESTORE_EXECUTOR_ENSURED: ConditionType = ConditionType::new(
        "RestoreExecutorEnsured",
        "SuccessfullyEnsuredRestoreExecutor",
        "FailedToEnsureRestoreExecutor",
    );
    /// The hooks before the restore succeeded.
    pub const PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED: ConditionType = ConditionType::new(
        "PreRestoreHooksExecutionSucceeded",
        "SuccessfullyExecutedPreRestoreHooks",
        "FailedToExecutePreRestoreHooks",
    );
    /// The hooks after the restore succeeded.
    pub const POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED: ConditionType = ConditionType::new(
        "PostRestoreHooksExecutionSucceeded",
        "SuccessfullyExecutedPostRestoreHooks",
        "FailedToExecutePostRestoreHooks",
    );
    /// The manifests were restored; the message lists the objects that were created, replaced and
    /// kept.
    pub const MANIFEST_RESTORED: ConditionType = ConditionType::new(
        "ManifestRestored",
        "SuccessfullyRestoredManifest",
        "FailedToRestoreManifest",
    );
    /// The restore ended before it was complete; True is bad.
    pub const RESTORE_INCOMPLETE: ConditionType = ConditionType::new(
        "RestoreIncomplete",
        "RestoreExecutorTerminatedBeforeCompletion",
        "RestoreIncomplete",
    );
}

/// Conditions of a BackupVerificationSession.
pub mod verification_session {
    use super::ConditionType;

    /// The check was not run; True means skipped.
    pub const BACKUP_VERIFICATION_SKIPPED: ConditionType = ConditionType::new(
        "BackupVerificationSkipped",
        "SnapshotAlreadyVerified",
        "BackupVerificationSkipped",
    );
    /// The snapshot could be restored.
    pub const RESTORE_SUCCEEDED: ConditionType = ConditionType::new(
        "RestoreSucceeded",
        "SuccessfullyRestoredBackup",
        "FailedToRestoreBackup",
    );
    /// The Job that checks was created.
    pub const VERIFICATION_EXECUTOR_ENSURED: ConditionType = ConditionType::new(
        "VerificationExecutorEnsured",
        "SuccessfullyEnsuredVerificationExecutor",
        "FailedToEnsureVerificationExecutor",
    );
    /// The restored data is good.
    pub const BACKUP_VERIFIED: ConditionType = ConditionType::new(
        "BackupVerified",
        "SuccessfullyVerifiedBackup",
        "FailedToVerifyBackup",
    );
    /// The last condition: the phase is final once it is there.
    pub const VERIFICATION_SESSION_HISTORY_CLEANED: ConditionType = ConditionType::new(
        "VerificationSessionHistoryCleaned",
        "SuccessfullyCleanedVerificationSessionHistory",
        "FailedToCleanVerificationSessionHistory",
    );
}
