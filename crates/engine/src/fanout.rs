//! One stream into several repositories at once.

use std::sync::Arc;

use crate::{
    BackupRequest, BackupSummary, ByteSource, CancellationToken, EngineError, Repository,
};

/// One repository that takes part in a fan-out.
pub struct Destination {
    /// Where the stream goes.
    pub repository: Arc<dyn Repository>,
    /// Under which name.
    pub request: BackupRequest,
}

/// Stores one stream in several repositories; the result has one outcome for each destination, in
/// their order.
pub async fn backup_streams(
    _destinations: Vec<Destination>,
    _source: ByteSource,
    _cancel: CancellationToken,
) -> Vec<Result<BackupSummary, EngineError>> {
    Vec::new()
}
