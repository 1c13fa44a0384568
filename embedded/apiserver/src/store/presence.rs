//! Whether a store is there, was lost, or is begun for the first time.
//!
//! A store file that is missing or empty beside anything else of the same cluster is a loss, never
//! a beginning: a server that went on without it would say that nothing had ever been stored, and
//! its controllers would act on that.
//!
//! ```text
//!   nothing there ──► mark `.beginning` ─► files ─► first objects ─► unmark      (a crash between: begun again)
//!   all there     ──► open
//!   one of several missing or empty ──► refuse, naming it and the way back
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StoreError;

/// All objects but Secrets.
pub(super) const OBJECTS: &str = "objects.redb";
/// Secrets.
pub(super) const SECRETS: &str = "secrets.redb";
/// What else shows that there was a cluster before.
const TRACES: [&str; 2] = ["pki", "databases"];
/// Stands while a cluster is begun.
const MARK: &str = ".beginning";

/// How a store is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// There is none yet: its files are created.
    Begun,
    /// Both files are there and hold something.
    Whole,
}

/// Finds out about the store in `dir`, and marks a beginning.
pub(super) fn find(dir: &Path) -> Result<Presence, StoreError> {
    let mark = dir.join(MARK);
    if mark.exists() {
        // Nothing had been acknowledged when that start ended.
        return Ok(Presence::Begun);
    }
    let mut missing = Vec::new();
    for name in [OBJECTS, SECRETS] {
        if length(&dir.join(name))? == 0 {
            missing.push(name);
        }
    }
    let Some(first) = missing.first() else {
        return Ok(Presence::Whole);
    };
    let beside: Vec<&str> = [OBJECTS, SECRETS]
        .into_iter()
        .filter(|name| !missing.contains(name))
        .chain(TRACES.into_iter().filter(|name| holds(&dir.join(name))))
        .collect();
    if !beside.is_empty() {
        return Err(StoreError::Lost {
            path: dir.join(first),
            beside: beside.join(", "),
            state: if dir.join(first).exists() {
                "empty"
            } else {
                "missing"
            },
        });
    }
    File::create(&mark)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync(dir))
        .map_err(|source| failed(&mark, source))?;
    Ok(Presence::Begun)
}

/// The cluster has been begun: from now on its files must be there.
pub(super) fn settle(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(MARK);
    match fs::remove_file(&mark) {
        Ok(()) => sync(dir).map_err(|source| failed(dir, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed(&mark, source)),
    }
}

fn length(path: &Path) -> Result<u64, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(failed(path, source)),
    }
}

/// Whether a directory holds anything.
fn holds(dir: &PathBuf) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}
