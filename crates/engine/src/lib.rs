//! The backup engine: restic repositories in object stores and volumes.
//!
//! It knows nothing of Kubernetes. Two layers, each behind one small surface:
//!
//! ```text
//!   Repository (trait)      prepare, backup_stream, check, snapshots, forget, dump, verify
//!      └ restic             the format (version 2) and restic's lock protocol
//!   ObjectStore             probe, read, write, list, delete under one prefix
//!      ├ remote             S3, GCS, Azure Blob
//!      └ local              a mounted volume; every write is on disk before it is acknowledged
//! ```
//!
//! Invariants:
//! - A stream that fails or is cancelled leaves no restic snapshot. The snapshot file is the last
//!   thing written, after every pack and index it needs is durable.
//! - Whoever writes holds a shared lock, whoever prunes an exclusive one, in the protocol of restic
//!   itself, so that a `restic` client run beside us does no harm.
//! - A backup relies on nothing that was not looked at: each pack is there with its size, a
//!   rotating part is read back. What is broken does not count as stored, and is stored anew.
//! - Errors name provider, bucket and remedy and never a credential.

pub mod error;
pub mod fanout;
pub mod machine;
pub mod repository;
pub mod restic;
pub mod secret;
pub mod storage;

pub use error::EngineError;
pub use fanout::{Destination, backup_streams};
pub use repository::{
    BackupRequest, BackupSummary, ByteSource, CheckDepth, CheckReport, DamagedSnapshot, Examined,
    ForgetReport, Made, ReadBack, ReadDepth, Repository, RepositoryStats, SnapshotInfo,
    SnapshotVerification,
};
pub use restic::{LockOwner, LockWait, OnLockWait, OpenOptions, ResticRepository};
pub use secret::Secret;
pub use storage::{ObjectStore, StorageConfig, StorageError};
/// The cancellation flag that every long operation takes.
pub use tokio_util::sync::CancellationToken;
