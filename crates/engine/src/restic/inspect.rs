//! Inspection.
use crate::{CheckDepth,CheckReport,EngineError,RepositoryStats,SnapshotInfo};
use super::open::Opened;
pub(super) async fn check(_o:&Opened,_d:CheckDepth)->Result<CheckReport,EngineError>{todo!()}
pub(super) async fn stats(_o:&Opened)->Result<RepositoryStats,EngineError>{todo!()}
pub(super) async fn snapshots(_o:&Opened)->Result<Vec<SnapshotInfo>,EngineError>{todo!()}
