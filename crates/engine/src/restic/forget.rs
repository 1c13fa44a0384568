//! Forget.
use crate::{CancellationToken,EngineError,ForgetReport};
use super::open::Opened;
pub(super) async fn forget(_o:&Opened,_i:Vec<String>,_c:CancellationToken)->Result<ForgetReport,EngineError>{todo!()}
