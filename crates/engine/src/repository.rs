//! What a repository can do: the one seam between kubestash and the storage format.

use std::io::{Read, Write};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{CancellationToken, EngineError};

/// Bytes to be backed up. A failing producer must end in `Err`, never in a plain end of stream:
/// an end of stream means "complete", and commits the snapshot.
pub type ByteSource = Box<dyn Read + Send>;

/// What to store and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRequest {
    /// Host that the restic snapshot carries, e.g. `host-0`.
    pub host: String,
    /// Path of the one file in the snapshot, e.g. `dumpfile.sql` or `folder/file`.
    pub file_name: String,
    /// Tags of the restic snapshot.
    pub tags: Vec<String>,
    /// Time of the restic snapshot and modification time of the file.
    pub time: Timestamp,
}

/// The outcome of one successful backup. The snapshot is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// Full restic snapshot id: 64 hexadecimal digits.
    pub snapshot_id: String,
    /// Bytes read from the stream (restic's `total_bytes_processed`).
    pub bytes_processed: u64,
    /// Bytes that were new to the repository, before compression (restic's `data_added`).
    pub data_added: u64,
    /// The same after compression and encryption (restic's `data_added_packed`).
    pub data_added_packed: u64,
    /// When the backup of the stream began.
    pub started: Timestamp,
    /// When the snapshot was durable.
    pub finished: Timestamp,
    /// What is known of the repository after it.
    pub examined: Examined,
}

/// How much of the stored data a backup reads back and compares with its hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadDepth {
    /// A part, so that all is read within the period; at least 64 MiB or one hundredth each time.
    #[default]
    Sample,
    /// Everything.
    All,
}

/// What a backup reads back before it relies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// How much.
    pub depth: ReadDepth,
    /// Within which time all data is read. Default: 7 days.
    pub period: Duration,
}

impl Default for ReadBack {
    fn default() -> Self {
        Self {
            depth: ReadDepth::default(),
            period: Duration::from_secs(7 * 86_400),
        }
    }
}

/// What is known of a repository, and how it is known.
///
/// Every pack that an index names was found in the storage with its size. A part of them was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Packs that were read back and compared with their hashes.
    pub packs_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// All data was read back, or written and found complete, at or after this time; none if some
    /// of it has not been read yet.
    pub read_since: Option<Timestamp>,
    /// What was found missing or damaged, and what became of it: one sentence each.
    pub damage: Vec<String>,
    /// Size of the repository.
    pub stats: RepositoryStats,
    /// Snapshots that cannot be restored as a whole.
    pub damaged_snapshots: Vec<DamagedSnapshot>,
}

impl Examined {
    /// How damage ended, if nothing is lost by it; none if there was none.
    pub fn recovered(&self) -> Option<&'static str> {
        let is_whole = !self.damage.is_empty() && self.damaged_snapshots.is_empty();
        is_whole.then_some("nothing is lost: every backup in the repository can be restored")
    }
}

/// A snapshot that needs what nobody has any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// Full id: 64 hexadecimal digits.
    pub id: String,
    /// What is missing or damaged.
    pub reason: String,
}

/// How thoroughly to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckDepth {
    /// Index, packs' presence and size, snapshots and trees; like `restic check`.
    #[default]
    Structure,
    /// All that, and every needed pack is read and its contents compared with their hashes; like
    /// `restic check --read-data`.
    ReadData,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is damaged. Empty: the repository is sound.
    pub errors: Vec<String>,
    /// What is untidy but harmless, e.g. packs that no index names.
    pub warnings: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The size of a repository, as `restic stats --mode raw-data` counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepositoryStats {
    /// Stored bytes of all blobs that snapshots refer to (restic's `total_size`).
    pub total_size: u64,
    /// The same before compression.
    pub total_uncompressed_size: u64,
    /// Number of those blobs.
    pub blob_count: u64,
    /// Number of snapshots.
    pub snapshot_count: u64,
}

/// One restic snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Full id: 64 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub time: Timestamp,
    /// The host it carries.
    pub host: String,
    /// The paths it holds, e.g. `/dumpfile.sql`.
    pub paths: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What making it took, as restic from 0.17 on writes it into the snapshot, and we do.
    pub made: Option<Made>,
}

/// What making a restic snapshot took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// When the backup began.
    pub started: Timestamp,
    /// When all its data was stored.
    pub finished: Timestamp,
    /// Bytes that were new to the repository, before compression (restic's `data_added`).
    pub data_added: u64,
}

/// What forgetting did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetReport {
    /// Full ids of the snapshots that were removed.
    pub removed: Vec<String>,
    /// The asked-for ids that no snapshot has (any longer).
    pub missing: Vec<String>,
    /// Why the data of the removed snapshots had to stay, if it had to.
    pub unpruned: Option<String>,
}

/// What verifying one snapshot found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotVerification {
    /// Bytes that a restore would write.
    pub size: u64,
    /// Number of pack files that hold them.
    pub packs: u64,
    /// What is missing or damaged. Empty: it can be restored.
    pub errors: Vec<String>,
}

/// A repository that holds streams: deduplicated, compressed, encrypted.
///
/// All operations are safe to run beside each other, also from several processes: they take the
/// repository's locks themselves. Blocking work runs on tokio's blocking pool.
pub trait Repository: Send + Sync {
    /// Where it is, for messages: provider, bucket and directory. No credentials.
    fn location(&self) -> String;

    /// Looks at what the next backup will rely on, and repairs it: packs that are missing, have
    /// another size than the index says, or do not fit their hashes no longer count as stored,
    /// so that the next backup stores their chunks anew. [`Self::backup_stream`] does this by
    /// itself; beforehand it is done before the stream is begun, which then does not have to
    /// wait for it.
    fn prepare(
        &self,
        wish: ReadBack,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Size of the repository, and which of its snapshots cannot be restored. Nothing is read back.
    fn examine(&self) -> BoxFuture<'_, Result<Examined, EngineError>>;

    /// Stores a stream as one file in a new snapshot.
    ///
    /// When it returns, every pack that the snapshot refers to was found in the storage with its
    /// size, and what was written was read back or found with its size.
    ///
    /// If `source` fails, `cancel` fires or the storage fails, no snapshot is written and what was
    /// uploaded is removed again as far as possible.
    fn backup_stream<'a>(
        &'a self,
        request: BackupRequest,
        source: ByteSource,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<BackupSummary, EngineError>>;

    /// Checks the repository. Damage is in the report; `Err` means that it could not be checked.
    fn check(&self, depth: CheckDepth) -> BoxFuture<'_, Result<CheckReport, EngineError>>;

    /// Size of what the snapshots refer to.
    fn stats(&self) -> BoxFuture<'_, Result<RepositoryStats, EngineError>>;

    /// All snapshots that can be read, oldest first.
    fn snapshots(&self) -> BoxFuture<'_, Result<Vec<SnapshotInfo>, EngineError>>;

    /// One snapshot, given by full id or a prefix of at least 8 digits. What became of the others
    /// does not matter.
    fn snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<SnapshotInfo, EngineError>>;

    /// Removes snapshots, given by full id or a prefix of at least 8 digits, and everything that
    /// only they needed: one prune for all of them. A missing id is fine.
    fn forget<'a>(
        &'a self,
        ids: Vec<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<ForgetReport, EngineError>>;

    /// Writes the contents of `file` in snapshot `id` to `sink` and returns their size. Every blob
    /// is compared with its hash before it is written.
    fn dump<'a>(
        &'a self,
        id: &'a str,
        file: &'a str,
        sink: Box<dyn Write + Send>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<u64, EngineError>>;

    /// Whether everything that `file` in snapshot `id` needs is there (and readable, with
    /// [`CheckDepth::ReadData`]): to be asked before a restore touches its target.
    fn verify_snapshot<'a>(
        &'a self,
        id: &'a str,
        file: &'a str,
        depth: CheckDepth,
    ) -> BoxFuture<'a, Result<SnapshotVerification, EngineError>>;
}
