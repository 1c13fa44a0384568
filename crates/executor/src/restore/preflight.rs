//! What has to be well before the first byte is written: all of it reads only.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubestash_database::{ExamineRequest, Family, Missing, Outline, Outliner, Target};
use kubestash_engine::{
    CancellationToken, CheckDepth, EngineError, Repository as _, ResticRepository, SnapshotInfo,
    SnapshotVerification,
};
use zeroize::Zeroizing;

use super::dereference::{Part, World};
use crate::arguments::Restore;
use crate::failure::Failure;
use crate::store::Store;

/// Tag of a restic snapshot that holds one database: its name is not in the dump.
const DATABASE_TAG: &str = "database=";
/// Tag of a restic snapshot that kubestash has made, which it does only of a dump whose client has
/// ended well.
const OWN_TAG: &str = "snapshot-uid=";
/// At most this many damages in a message.
const SHOWN: usize = 3;

/// A restore that can begin.
pub(super) struct Ready {
    /// The open repository.
    pub(super) repository: Arc<ResticRepository>,
    /// The server.
    pub(super) target: Box<dyn Target>,
    /// The database that was dumped, if its name is not in the dump.
    pub(super) source: Option<String>,
    /// Databases to make before.
    pub(super) missing: Vec<Missing>,
    /// The databases that it goes into, as far as it is known.
    pub(super) databases: Vec<String>,
    /// What was seen of the dump.
    pub(super) outline: Outline,
    /// Full id of the restic snapshot.
    pub(super) id: String,
    /// Bytes to load.
    pub(super) size: u64,
}

/// Looks at repository and database.
///
/// # Errors
/// The first thing that is in the way.
pub(super) async fn preflight(restore: &Restore, world: &World) -> Result<Ready, Failure> {
    let part = &world.part;
    let repository = world.store.open(&part.path).await?;
    let location = repository.location();
    tracing::info!("opened the repository at {location}");
    let found = find(&repository, part).await;
    let found = found.map_err(|error| explain(error, &part.id, &location))?;
    let source = found
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix(DATABASE_TAG));
    let database = &world.database;
    let (data, target) = tokio::join!(
        examine(&repository, &found.id, &part.file, restore.family),
        database.family.examine(ExamineRequest {
            connection: &database.connection,
            role: &database.role,
            source,
            args: &restore.args,
            wait_timeout: restore.wait_timeout,
        }),
    );
    let (size, mut outline) = data?;
    outline.proven = found.tags.iter().any(|tag| tag.starts_with(OWN_TAG));
    outline.allowed = restore.allowed;
    let target = target?;
    let accepted = target
        .accepts(&outline)
        .map_err(kubestash_database::Error::from)?;
    for note in &accepted.notes {
        tracing::warn!("{note}");
    }
    Ok(Ready {
        source: source.map(str::to_owned),
        repository,
        target,
        missing: accepted.missing,
        databases: accepted.databases,
        outline,
        id: found.id.clone(),
        size,
    })
}

/// The restic snapshot of a component: by its id, also if `restic` has given it another one, else
/// by our tag.
async fn find(repository: &ResticRepository, part: &Part) -> Result<SnapshotInfo, EngineError> {
    let missing = match repository.snapshot(&part.id).await {
        Err(error @ EngineError::SnapshotMissing { .. }) => error,
        found => return found,
    };
    let Some(tag) = &part.tag else {
        return Err(missing);
    };
    let mut all = repository.snapshots().await?.into_iter();
    // The newest of them, for they are sorted by time.
    let tagged = all.rfind(|info| info.tags.contains(tag));
    tagged.ok_or(missing)
}

/// A failure before the first byte, which is worth knowing.
pub(super) fn untouched(failure: Failure) -> Failure {
    let message = format!("{}; nothing was changed in the database", failure.message);
    match failure.permanent {
        true => Failure::permanent(&failure.kind, message),
        false => Failure::transient(&failure.kind, message),
    }
}

/// Reads all data of a file; returns its size and what was seen on the way.
async fn examine(
    repository: &ResticRepository,
    id: &str,
    file: &str,
    family: Family,
) -> Result<(u64, Outline), Failure> {
    let location = repository.location();
    // What is missing is found, and told all at once, before anything is read.
    let verified = repository
        .verify_snapshot(id, file, CheckDepth::Structure)
        .await
        .map_err(|error| explain(error, id, &location))?;
    sound(&verified, id, &location)?;
    let seen = Examiner(Arc::new(Mutex::new(Outliner::new(family))));
    let reading = repository.dump(id, file, Box::new(seen.clone()), CancellationToken::new());
    match reading.await {
        Ok(size) => {
            tracing::info!("all data of restic snapshot {id} is there and readable");
            Ok((size, seen.take()))
        }
        Err(error) => Err(explain(error, id, &location)),
    }
}

/// A failure of the repository; what is damaged is told as what [`sound`] finds is.
fn explain(error: EngineError, id: &str, location: &str) -> Failure {
    match error {
        EngineError::RepositoryDamaged { reason, .. } => damaged(&[reason], id, location),
        EngineError::FileDamaged { file, reason, .. } => {
            damaged(&[format!("{file} is damaged: {reason}")], id, location)
        }
        EngineError::SnapshotMissing { .. } => {
            damaged(&["it is no longer there".to_owned()], id, location)
        }
        error => error.into(),
    }
}

fn sound(verified: &SnapshotVerification, id: &str, location: &str) -> Result<(), Failure> {
    match verified.errors.as_slice() {
        [] => Ok(()),
        errors => Err(damaged(errors, id, location)),
    }
}

fn damaged(errors: &[String], id: &str, location: &str) -> Failure {
    let mut shown = errors[..errors.len().min(SHOWN)].join("; ");
    if errors.len() > SHOWN {
        shown.push_str(&format!("; and {} more", errors.len() - SHOWN));
    }
    Failure::permanent(
        "repository-damaged",
        format!(
            "failed to restore: the data of restic snapshot {id} at {location} is damaged: {shown}; restore another Snapshot"
        ),
    )
}

/// Reads a whole file of a component, all of whose data is compared with its hashes; for files that
/// fit into memory.
///
/// # Errors
/// If the repository cannot be opened, data is missing or damaged, or there is too much of it.
pub(crate) async fn read(
    store: &Store,
    part: &Part,
    most: u64,
    cancel: &CancellationToken,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let repository = store.open(&part.path).await?;
    let location = repository.location();
    tracing::info!("opened the repository at {location}");
    let found = find(&repository, part).await;
    let id = found
        .map_err(|error| explain(error, &part.id, &location))?
        .id;
    let verified = repository
        .verify_snapshot(&id, &part.file, CheckDepth::ReadData)
        .await?;
    sound(&verified, &id, &location)?;
    if verified.size > most {
        return Err(Failure::permanent(
            "ManifestUnreadable",
            format!(
                "failed to restore: {} of restic snapshot {} has {} bytes and at most {most} are read; restore another Snapshot",
                part.file, part.id, verified.size
            ),
        ));
    }
    let whole = Whole::default();
    let sink = Box::new(whole.clone());
    repository
        .dump(&id, &part.file, sink, cancel.clone())
        .await?;
    let mut bytes = whole.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *bytes))
}

/// Takes a whole stream.
#[derive(Clone, Default)]
struct Whole(Arc<Mutex<Zeroizing<Vec<u8>>>>);

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut whole = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        whole.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks at a stream that goes nowhere.
#[derive(Clone)]
struct Examiner(Arc<Mutex<Outliner>>);

impl Examiner {
    fn outliner(&self) -> MutexGuard<'_, Outliner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Outline {
        self.outliner().take()
    }
}

impl Write for Examiner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outliner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_and_that_the_database_is_untouched() {
        let verified = |errors: usize| SnapshotVerification {
            errors: (0..errors)
                .map(|pack| format!("pack {pack} is missing"))
                .collect(),
            ..SnapshotVerification::default()
        };
        assert!(sound(&verified(0), "8f2b", "here").is_ok());
        let failure = untouched(sound(&verified(5), "8f2b", "here").unwrap_err());
        assert!(failure.permanent);
        for words in [
            "8f2b at here",
            "pack 2 is missing",
            "and 2 more",
            "nothing was changed",
        ] {
            assert!(failure.message.contains(words), "{failure}");
        }
        assert!(!untouched(super::super::stopped()).permanent);
    }
}
