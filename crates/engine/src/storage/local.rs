//! Volumes.
use std::path::Path;
use bytes::Bytes;
use super::{Entry,StorageError};
#[derive(Debug)]
pub(super) struct LocalStore;
impl LocalStore {
    pub(super) fn new(_r:&Path,_p:&str,_l:String)->Self{Self}
    pub(super) async fn write(&self,_p:&str,_c:Bytes)->Result<(),StorageError>{todo!()}
    pub(super) async fn make_directories(&self,_p:&[String])->Result<(),StorageError>{todo!()}
    pub(super) async fn probe(&self)->Result<(),StorageError>{todo!()}
    pub(super) async fn read(&self,_p:&str)->Result<Bytes,StorageError>{todo!()}
    pub(super) async fn read_range(&self,_p:&str,_o:u64,_l:u64)->Result<Bytes,StorageError>{todo!()}
    pub(super) async fn delete(&self,_p:&str)->Result<(),StorageError>{todo!()}
    pub(super) async fn exists(&self,_p:&str)->Result<bool,StorageError>{todo!()}
    pub(super) async fn list(&self,_p:&str)->Result<Vec<Entry>,StorageError>{todo!()}
    pub(super) async fn list_names(&self,_p:&str)->Result<Vec<String>,StorageError>{todo!()}
    pub(super) async fn remove_all(&self,_p:&str)->Result<u64,StorageError>{todo!()}
}
