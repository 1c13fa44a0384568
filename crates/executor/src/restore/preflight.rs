//! What has to be well before the first byte is written: all of it reads only.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use kubestash_database::mysql::{Statements, Target};
use kubestash_engine::{
    CancellationToken, CheckDepth, EngineError, Repository as _, ResticRepository,
    SnapshotVerification,
};

use super::dereference::World;
use crate::arguments::Restore;
use crate::failure::Failure;

/// As much of a dump as says on which server it was made.
const HEAD: usize = 4096;
/// Tag of a restic snapshot that holds one database: its name is not in the dump.
const DATABASE_TAG: &str = "database=";
/// At most this many damages in a message.
const SHOWN: usize = 3;

/// A restore that can begin.
pub(super) struct Ready {
    /// The open repository.
    pub(super) repository: Arc<ResticRepository>,
    /// The server.
    pub(super) target: Target,
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
    let found = repository.snapshot(&part.id).await;
    let found = found.map_err(|error| explain(error, &part.id, &location))?;
    let source = found
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix(DATABASE_TAG));
    let database = &world.database;
    let (data, target) = tokio::join!(
        examine(&repository, &found.id, &part.file),
        database.family.examine(
            &database.connection,
            &database.role,
            source,
            restore.wait_timeout
        ),
    );
    let (size, seen) = data?;
    let target = target?;
    let fits = target
        .accepts(&seen.head)
        .and_then(|notes| target.takes(seen.statements.longest()).map(|()| notes))
        .map_err(kubestash_database::Error::from)?;
    for note in fits {
        tracing::warn!("{note}");
    }
    Ok(Ready {
        repository,
        target,
        id: found.id.clone(),
        size,
    })
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
) -> Result<(u64, Seen), Failure> {
    let location = repository.location();
    // What is missing is found, and told all at once, before anything is read.
    let verified = repository
        .verify_snapshot(id, file, CheckDepth::Structure)
        .await
        .map_err(|error| explain(error, id, &location))?;
    sound(&verified, id, &location)?;
    let seen = Examiner::default();
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

/// What is known of a dump that was read once.
#[derive(Default)]
struct Seen {
    /// Its beginning.
    head: Vec<u8>,
    /// Its statements.
    statements: Statements,
}

/// Looks at a stream that goes nowhere.
#[derive(Clone, Default)]
struct Examiner(Arc<Mutex<Seen>>);

impl Examiner {
    fn take(&self) -> Seen {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Examiner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = HEAD.saturating_sub(seen.head.len()).min(bytes.len());
        seen.head.extend_from_slice(&bytes[..wanted]);
        seen.statements.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stream_its_beginning_and_its_longest_statement_are_kept() {
        let mut examiner = Examiner::default();
        examiner
            .write_all(b"-- Server version\nSELECT 1;\n")
            .unwrap();
        examiner.write_all(&[b'x'; 2 * HEAD]).unwrap();
        examiner.write_all(b";\nSELECT 2;\n").unwrap();
        let seen = examiner.take();
        assert_eq!(seen.head.len(), HEAD);
        assert!(seen.head.starts_with(b"-- Server version\nSELECT 1;\nxxx"));
        assert_eq!(seen.statements.longest(), 2 * HEAD as u64 + 1);
    }

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
