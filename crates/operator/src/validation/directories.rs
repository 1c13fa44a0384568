//! Directories of repositories: each has one of its own, which contains no other one's and lies in
//! none.
//!
//! What a Repository has already is never refused here: repositories that were made before these
//! rules go on.

use std::sync::Arc;

use kube::ResourceExt;
use kubestash_api::core::{BackupConfiguration, Session};
use kubestash_api::labels;
use kubestash_api::shared::{BackendReference, ObjectReference, RepositoryInfo};
use kubestash_api::storage::Repository;
use kubestash_domain::layout::directory::{self, Relation};
use kubestash_domain::layout::{self};

use super::{Others, Violation};

/// The remedy, wherever two directories contain each other.
const REMEDY: &str = "give it a directory that neither contains the other one nor lies in it";

/// One repository of one session, and where it is written.
struct Entry<'a> {
    field: String,
    info: &'a RepositoryInfo,
    backend: Option<&'a BackendReference>,
}

fn entries<'a>(
    field: &str,
    backends: &'a [BackendReference],
    sessions: &'a [Session],
) -> Vec<Entry<'a>> {
    let of_session = |(at, session): (usize, &'a Session)| {
        let field = format!("{field}.sessions[{at}]");
        session
            .repositories
            .iter()
            .enumerate()
            .map(move |(at, info)| Entry {
                field: format!("{field}.repositories[{at}].directory"),
                info,
                backend: backends.iter().find(|backend| backend.name == info.backend),
            })
    };
    sessions.iter().enumerate().flat_map(of_session).collect()
}

/// Directories of a BackupConfiguration that are new and cannot be a repository's, or contain
/// another one's.
pub(super) fn of_configuration(object: &BackupConfiguration, others: &Others) -> Vec<Violation> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let all = entries("spec", &spec.backends, &spec.sessions);
    let exists = |entry: &Entry<'_>| {
        others.repositories.iter().any(|found| {
            found.namespace().as_deref() == Some(namespace.as_str())
                && found.name_any() == entry.info.name
                && layout::same_directory(&found.spec.path, &entry.info.directory)
        })
    };
    let mut violations = Vec::new();
    for (at, entry) in all.iter().enumerate() {
        // An empty one is told elsewhere.
        if entry.info.directory.is_empty() || exists(entry) {
            continue;
        }
        violations.extend(unusable(&entry.field, &entry.info.directory));
        let Some(storage) = entry
            .backend
            .and_then(|backend| backend.storage_ref.as_ref())
        else {
            continue;
        };
        let sibling = all[..at].iter().find(|other| {
            let their = other
                .backend
                .and_then(|backend| backend.storage_ref.as_ref());
            their.is_some_and(|their| their.same_object(storage, &namespace))
                && is_nested(entry.info, other.info)
        });
        if let Some(sibling) = sibling {
            let owner = format!("{:?} of this object", sibling.info.name);
            violations.push(nested(
                &entry.field,
                &entry.info.directory,
                &owner,
                &sibling.info.directory,
            ));
        } else if let Some(found) = container(
            &others.repositories,
            storage,
            &entry.info.directory,
            (&namespace, &entry.info.name),
        ) {
            let owner = format!(
                "{}/{}",
                found.namespace().unwrap_or_default(),
                found.name_any()
            );
            violations.push(nested(
                &entry.field,
                &entry.info.directory,
                &owner,
                &found.spec.path,
            ));
        }
    }
    violations
}

/// Directories of a blueprint's template, as far as they are written out. `earlier` are the
/// sessions it had before.
pub(super) fn of_template(
    field: &str,
    backends: &[BackendReference],
    sessions: &[Session],
    earlier: &[Session],
) -> Vec<Violation> {
    let mut all = entries(field, backends, sessions);
    let is_old = |info: &RepositoryInfo| {
        earlier
            .iter()
            .flat_map(|session| &session.repositories)
            .any(|old| old.name == info.name && old.directory == info.directory)
    };
    all.retain(|entry| {
        let directory = &entry.info.directory;
        !directory.is_empty() && (!directory.contains('$') || directory::check(directory).is_err())
    });
    let mut violations = Vec::new();
    for (at, entry) in all.iter().enumerate() {
        if is_old(entry.info) {
            continue;
        }
        violations.extend(unusable(&entry.field, &entry.info.directory));
        let is_literal = |info: &RepositoryInfo| !info.directory.contains('$');
        let sibling = all[..at].iter().find(|other| {
            entry.info.backend == other.info.backend
                && is_literal(entry.info)
                && is_literal(other.info)
                && directory::check(&other.info.directory).is_ok()
                && is_nested(entry.info, other.info)
        });
        if let Some(sibling) = sibling {
            let owner = format!("{:?} of this object", sibling.info.name);
            violations.push(nested(
                &entry.field,
                &entry.info.directory,
                &owner,
                &sibling.info.directory,
            ));
        }
    }
    violations
}

fn is_nested(one: &RepositoryInfo, other: &RepositoryInfo) -> bool {
    one.name != other.name && directory::relation(&one.directory, &other.directory).is_nested()
}

/// Why a directory cannot be a repository's, if it cannot.
pub(super) fn unusable(field: &str, directory: &str) -> Option<Violation> {
    let error = directory::check(directory).err()?;
    Some(Violation::new(
        field,
        format!("the directory {directory:?} cannot be a repository's: {error}"),
    ))
}

/// The sentence about a directory that contains another one or lies in it.
pub(super) fn nested(field: &str, directory: &str, owner: &str, theirs: &str) -> Violation {
    Violation::new(field, sentence(directory, owner, theirs))
}

/// The same for a condition or an Event.
pub(crate) fn sentence(directory: &str, owner: &str, theirs: &str) -> String {
    let relation = match directory::relation(directory, theirs) {
        Relation::Contains => "contains",
        _ => "lies in",
    };
    format!(
        "the directory {directory:?} {relation} the directory {theirs:?} of repository {owner}: {REMEDY}"
    )
}

/// A Repository of the same storage, not the one that is asked about, whose directory contains this
/// one or lies in it.
pub(crate) fn container<'a>(
    repositories: &'a [Arc<Repository>],
    storage: &ObjectReference,
    directory: &str,
    own: (&str, &str),
) -> Option<&'a Arc<Repository>> {
    let (namespace, name) = own;
    repositories.iter().find(|found| {
        let theirs = found.namespace().unwrap_or_default();
        let is_own = theirs == namespace && found.name_any() == name;
        let same_storage = found.spec.storage_ref.as_ref().is_some_and(|reference| {
            reference.name == storage.name
                && reference.namespace_or(&theirs) == storage.namespace_or(namespace)
        });
        !is_own && same_storage && directory::relation(directory, &found.spec.path).is_nested()
    })
}

/// Whether a Repository was there before anybody looked at its directory: it is set up, or came
/// back from its storage.
pub(crate) fn is_read_back(repository: &Repository) -> bool {
    repository.annotations().contains_key(labels::READ_BACK)
}
