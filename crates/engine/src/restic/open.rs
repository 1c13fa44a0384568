//! Opening and initialising.
use crate::{EngineError,ObjectStore,Secret,restic::OpenOptions};
pub(super) struct Opened { pub(super) location: String }
pub(super) async fn open(_s:&ObjectStore,_d:&str,_p:&Secret,_o:OpenOptions)->Result<Opened,EngineError>{todo!()}
pub(super) async fn init(_s:&ObjectStore,_d:&str,_p:&Secret,_o:OpenOptions)->Result<Opened,EngineError>{todo!()}
