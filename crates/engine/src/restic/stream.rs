//! Backup.
use crate::{BackupRequest,BackupSummary,ByteSource,CancellationToken,EngineError};
use super::open::Opened;
pub(super) async fn backup(_o:&Opened,_r:BackupRequest,_s:ByteSource,_c:CancellationToken)->Result<BackupSummary,EngineError>{todo!()}
