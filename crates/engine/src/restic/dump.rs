//! Dump.
use crate::{CancellationToken,CheckDepth,EngineError,SnapshotVerification};
use super::open::Opened;
pub(super) async fn dump(_o:&Opened,_i:&str,_f:&str,_s:Box<dyn std::io::Write+Send>,_c:CancellationToken)->Result<u64,EngineError>{todo!()}
pub(super) async fn verify(_o:&Opened,_i:&str,_f:&str,_d:CheckDepth)->Result<SnapshotVerification,EngineError>{todo!()}
