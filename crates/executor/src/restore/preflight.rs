//! What has to be well before the first byte is written: all of it reads only.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use kubestash_database::mysql::Target;
use kubestash_engine::{
    CancellationToken, CheckDepth, EngineError, Repository as _, ResticRepository,
    SnapshotVerification,
};

use zeroize::Zeroizing;

use super::dereference::{Part, World};
use crate::arguments::Restore;
use crate::failure::Failure;
use crate::store::Store;

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
    tracing::info!("opened the repository at {}", repository.location());
    let existing = repository.snapshots().await?;
    let found = existing.iter().find(|info| info.id.starts_with(&part.id));
    let found = found.ok_or_else(|| EngineError::SnapshotMissing {
        id: part.id.clone(),
        location: repository.location(),
    })?;
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
    let (size, head) = data?;
    let target = target?;
    for note in target
        .accepts(&head)
        .map_err(kubestash_database::Error::from)?
    {
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

/// Reads all data of a file; returns its size and its beginning.
async fn examine(
    repository: &ResticRepository,
    id: &str,
    file: &str,
) -> Result<(u64, Vec<u8>), Failure> {
    let verified = repository
        .verify_snapshot(id, file, CheckDepth::ReadData)
        .await?;
    sound(&verified, id, &repository.location())?;
    tracing::info!("all data of restic snapshot {id} is there and readable");
    let head = Head::default();
    let reading = repository.dump(id, file, Box::new(head.clone()), CancellationToken::new());
    match reading.await {
        // It stops by itself when it has seen enough.
        Ok(_) | Err(EngineError::SinkFailed { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((verified.size, head.take()))
}

fn sound(verified: &SnapshotVerification, id: &str, location: &str) -> Result<(), Failure> {
    if verified.errors.is_empty() {
        return Ok(());
    }
    let mut shown = verified.errors[..verified.errors.len().min(SHOWN)].join("; ");
    if verified.errors.len() > SHOWN {
        shown.push_str(&format!("; and {} more", verified.errors.len() - SHOWN));
    }
    Err(Failure::permanent(
        "repository-damaged",
        format!(
            "failed to restore: the data of restic snapshot {id} at {location} is damaged: {shown}; restore another Snapshot"
        ),
    ))
}

/// Reads a whole file of a component, all of whose data is compared with its hashes; for files that fit into memory.
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
    tracing::info!("opened the repository at {}", repository.location());
    let verified = repository
        .verify_snapshot(&part.id, &part.file, CheckDepth::ReadData)
        .await?;
    sound(&verified, &part.id, &repository.location())?;
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
        .dump(&part.id, &part.file, sink, cancel.clone())
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

/// Takes the beginning of a stream and refuses the rest.
#[derive(Clone, Default)]
struct Head(Arc<Mutex<Vec<u8>>>);

impl Head {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = HEAD.saturating_sub(head.len()).min(bytes.len());
        if wanted == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        head.extend_from_slice(&bytes[..wanted]);
        Ok(wanted)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_stream_is_kept_and_the_rest_refused() {
        let mut head = Head::default();
        head.write_all(&[1; 100]).unwrap();
        assert!(head.write_all(&[2; HEAD]).is_err());
        let kept = head.take();
        assert_eq!((kept.len(), kept[99], kept[HEAD - 1]), (HEAD, 1, 2));
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
