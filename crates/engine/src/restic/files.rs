//! Names of files.
pub(super) const CONFIG:&str="config";
pub(super) fn path(directory:&str,name:&str)->String{format!("{directory}/{name}")}
