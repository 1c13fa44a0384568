//! Buckets.
use bytes::Bytes;
use super::{Entry,StorageError,StorageConfig};
#[derive(Debug)]
pub(super) struct RemoteStore;
impl RemoteStore {
    pub(super) fn new(_c:&StorageConfig,_l:String)->Result<Self,StorageError>{todo!()}
    pub(super) async fn write(&self,_p:&str,_c:Bytes,_t:Option<&str>)->Result<(),StorageError>{todo!()}
    pub(super) async fn probe(&self)->Result<(),StorageError>{todo!()}
    pub(super) async fn read(&self,_p:&str)->Result<Bytes,StorageError>{todo!()}
    pub(super) async fn read_range(&self,_p:&str,_o:u64,_l:u64)->Result<Bytes,StorageError>{todo!()}
    pub(super) async fn delete(&self,_p:&str)->Result<(),StorageError>{todo!()}
    pub(super) async fn exists(&self,_p:&str)->Result<bool,StorageError>{todo!()}
    pub(super) async fn list(&self,_p:&str)->Result<Vec<Entry>,StorageError>{todo!()}
    pub(super) async fn list_names(&self,_p:&str)->Result<Vec<String>,StorageError>{todo!()}
    pub(super) async fn remove_all(&self,_p:&str)->Result<u64,StorageError>{todo!()}
}
