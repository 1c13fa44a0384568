//! Which files of a storage are ours: everything that is removed with a Repository or a
//! BackupStorage is named here, and nothing else ever is.
//!
//! ```text
//! metadata.yaml                                        if it says that it is a BackendMeta
//! <directory>/repository.yaml                          if it says that it is a Repository, or data is beside it
//! <directory>/snapshots/<snapshot>.yaml                if the directory is a repository's
//! <directory>/repository/v1/<session>/<component>/     a restic repository:
//!     config  keys/<id>  index/<id>  snapshots/<id>  locks/<id>  data/<2 digits>/<id>
//! ```
//! Invariant: each file belongs to one repository at most, also where directories contain each
//! other, and what lies below another storage's `metadata.yaml` belongs to that storage. Files that
//! a writer left unfinished (`<name>-tmp-<random>`) belong to whom the finished one would.

use std::collections::BTreeSet;

use super::{DATA_DIR, METADATA_FILE, REPOSITORY_FILE, SNAPSHOTS_DIR, join, repository_dir};

/// What the names of unfinished files hold, ours and restic's own.
const UNFINISHED: &str = "-tmp-";
/// Length of the names that restic gives its files: SHA-256 in hexadecimal digits.
const ID_LENGTH: usize = 64;

/// What a file is to a repository in `directory`, judged by its path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `repository.yaml`.
    Repository,
    /// A file of `snapshots/`.
    Snapshot,
    /// The `config` of a restic repository. Many other programs have files of that name.
    Config,
    /// A file of a restic repository that is named by its hash.
    Data,
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The repository in this directory.
    Repository(String),
    /// The storage itself: its `metadata.yaml`.
    Storage,
    /// Another storage, whose root is this directory.
    OtherStorage(String),
    /// Nobody we know.
    Foreign,
}

/// What is known about the files of a storage, or of a part of it.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Directories whose `repository.yaml` is one, or that are a repository's for another reason.
    repositories: BTreeSet<String>,
    /// Directories with data in them.
    with_data: BTreeSet<String>,
    /// Restic repositories with at least one file that no other program has.
    components: BTreeSet<String>,
    /// Roots of other storages.
    storages: BTreeSet<String>,
    /// Whether `metadata.yaml` at the root is ours.
    has_metadata: bool,
}

impl Contents {
    /// What follows from the paths of all files.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut contents = Self::default();
        for path in paths {
            if let Some((directory, Place::Data)) = data(path) {
                contents.with_data.insert(directory.to_owned());
                contents
                    .components
                    .insert(component(path, directory).to_owned());
            }
        }
        contents
    }

    /// A directory that is a repository's, because its `repository.yaml` says so or because it is
    /// known otherwise.
    pub fn add_repository(&mut self, directory: &str) {
        self.repositories.insert(repository_dir(directory));
    }

    /// A directory whose `metadata.yaml` is one. At the root it is the storage's own.
    pub fn add_metadata(&mut self, directory: &str) {
        let directory = join(&[directory]);
        if directory.is_empty() {
            self.has_metadata = true;
        } else {
            self.storages.insert(directory);
        }
    }

    /// Whose a file is.
    #[must_use]
    pub fn owner(&self, path: &str) -> Owner {
        if let Some(root) = self.storages.iter().find(|root| below(path, root)) {
            return Owner::OtherStorage(root.clone());
        }
        if self.has_metadata && finished(path) == METADATA_FILE {
            return Owner::Storage;
        }
        let is_repository = |directory: &str| {
            self.repositories.contains(directory) || self.with_data.contains(directory)
        };
        // A repository in the folder `snapshots` of another one has its file where that one's
        // Snapshots have theirs.
        let candidates = [data(path), repository(path), snapshot(path)];
        for (directory, place) in candidates.into_iter().flatten() {
            let is_ours = match place {
                Place::Data => true,
                Place::Config => {
                    is_repository(directory) || self.components.contains(component(path, directory))
                }
                Place::Repository | Place::Snapshot => is_repository(directory),
            };
            if is_ours {
                return Owner::Repository(directory.to_owned());
            }
        }
        Owner::Foreign
    }

    /// The repository whose directory this is, or is a part of, if the directory is one of our
    /// layout: it may go when it is empty.
    #[must_use]
    pub fn owner_of_directory(&self, path: &str) -> Option<String> {
        if self
            .storages
            .iter()
            .any(|root| path == root || below(path, root))
        {
            return None;
        }
        let known = |directory: &str| {
            (self.repositories.contains(directory) || self.with_data.contains(directory))
                .then(|| directory.to_owned())
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        (0..=parts.len())
            .rev()
            .filter(|at| is_folder(&parts[*at..]))
            .find_map(|at| known(&parts[..at].join("/")))
    }
}

/// Paths that only their content tells about: a `repository.yaml` or `metadata.yaml` may be
/// somebody else's.
#[must_use]
pub fn needs_a_look(path: &str) -> Option<Look<'_>> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        REPOSITORY_FILE => Some(Look::Repository(directory)),
        METADATA_FILE => Some(Look::Metadata(directory)),
        _ => None,
    }
}

/// What the content of a file has to tell about its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// Whether it is a repository's.
    Repository(&'a str),
    /// Whether it is the root of a storage.
    Metadata(&'a str),
}

/// Whether an entry of a directory, whose name ends in a slash if it is one itself, is what systems
/// leave on a disk or share that is otherwise empty.
#[must_use]
pub fn is_systems_own(name: &str) -> bool {
    const KNOWN: [&str; 6] = [
        "lost+found/",
        "System Volume Information/",
        "$RECYCLE.BIN/",
        "@eaDir/",
        "#recycle/",
        "#snapshot/",
    ];
    name.starts_with('.') || KNOWN.contains(&name)
}

/// Whether a directory with these entries, where names of directories end in a slash, is a restic
/// repository. Its many folders hold nothing else.
#[must_use]
pub fn is_restic_repository(names: &[String]) -> bool {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    has("config") && (has("keys/") || has("data/"))
}

/// A path without what unfinished files have at the end.
fn finished(path: &str) -> &str {
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[name_at..].find(UNFINISHED) {
        Some(at) if at > 0 => &path[..name_at + at],
        _ => path,
    }
}

fn below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Directory and name of a file, if its name is `wanted`.
fn repository(path: &str) -> Option<(&str, Place)> {
    let path = finished(path);
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    (name == REPOSITORY_FILE).then_some((directory, Place::Repository))
}

fn snapshot(path: &str) -> Option<(&str, Place)> {
    let (folder, name) = finished(path).rsplit_once('/')?;
    let (directory, folder) = folder.rsplit_once('/').unwrap_or(("", folder));
    let is_yaml = name
        .strip_suffix(".yaml")
        .is_some_and(|name| !name.is_empty());
    (folder == SNAPSHOTS_DIR && is_yaml).then_some((directory, Place::Snapshot))
}

/// The repository whose restic repository a file is in, if its path is one of restic's.
fn data(path: &str) -> Option<(&str, Place)> {
    let path = finished(path);
    let parts: Vec<&str> = path.split('/').collect();
    // The directory, `repository`, a version, a session, a component, and one to three parts of
    // restic's own.
    for own in 1..=3 {
        let Some(at) = parts.len().checked_sub(4 + own) else {
            break;
        };
        let is_place = parts[at] == DATA_DIR && is_version(parts[at + 1]);
        let Some(place) = restic(&parts[at + 4..]).filter(|_| is_place) else {
            continue;
        };
        let length: usize = parts[..at].iter().map(|part| part.len() + 1).sum();
        return Some((&path[..length.saturating_sub(1)], place));
    }
    None
}

/// What a path inside a restic repository is.
fn restic(parts: &[&str]) -> Option<Place> {
    match parts {
        ["config"] => Some(Place::Config),
        ["keys" | "index" | "snapshots" | "locks" | "data", id] if is_id(id) => Some(Place::Data),
        ["data", start, id] if is_id(id) && start.len() == 2 && id.starts_with(start) => {
            Some(Place::Data)
        }
        _ => None,
    }
}

/// The restic repository that a file below `directory` is in.
fn component<'a>(path: &'a str, directory: &str) -> &'a str {
    let start = if directory.is_empty() {
        0
    } else {
        directory.len() + 1
    };
    let rest = path.get(start..).unwrap_or_default();
    let end = rest
        .match_indices('/')
        .nth(3)
        .map_or(rest.len(), |(at, _)| at);
    path.get(..start + end).unwrap_or(path)
}

/// Whether the parts below a repository's directory are a folder of our layout.
fn is_folder(parts: &[&str]) -> bool {
    match parts {
        [] | [DATA_DIR | SNAPSHOTS_DIR] => true,
        [DATA_DIR, version, rest @ ..] if is_version(version) => match rest {
            [] | [_] | [_, _] => true,
            [_, _, "keys" | "index" | "snapshots" | "locks" | "data"] => true,
            [_, _, "data", start] => start.len() == 2 && is_hex(start),
            _ => false,
        },
        _ => false,
    }
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_id(name: &str) -> bool {
    name.len() == ID_LENGTH && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
