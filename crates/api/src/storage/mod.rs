//! Kinds of `storage.kubestash.com`: where backed-up data is, and how long it stays.

mod backend;
mod backup_storage;
mod progress;
mod repository;
mod restic_stats;
mod retention_policy;
mod snapshot;
mod snapshot_stats;

pub use backend::{AzureSpec, Backend, GcsSpec, LocalSpec, Provider, S3Spec};
pub use backup_storage::{
    BackupStorage, BackupStoragePhase, BackupStorageSpec, BackupStorageStatus, StorageRepository,
};
pub use progress::{BackupProgress, RestoreProgress};
pub use repository::{RecentSnapshot, Repository, RepositorySpec, RepositoryStatus};
pub use restic_stats::{ResticStats, ResticSummary};
pub use retention_policy::{
    FailedSnapshotsKeepPolicy, RetentionPolicy, RetentionPolicySpec, SuccessfulSnapshotsKeepPolicy,
};
pub use snapshot::{
    Component, DamagedSnapshot, Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus,
    VerificationStatus, snapshot_type, snapshot_version,
};
pub use snapshot_stats::{
    ClickHouseStats, LogRetentionStats, LogRunStats, LogStats, MedusaStats, Neo4jStats, SolrStats,
    VolumeSnapshotterStats, WalGStats,
};
