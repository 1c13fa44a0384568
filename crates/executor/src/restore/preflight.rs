//! What has to be well before the first byte is written: all of it reads only.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use kubestash_database::{ExamineRequest, OUTLINE, Outline, Target};
use kubestash_engine::{
    CancellationToken, CheckDepth, EngineError, Repository as _, ResticRepository,
    SnapshotVerification,
};

use zeroize::Zeroizing;

use super::dereference::{Part, World};
use crate::arguments::Restore;
use crate::failure::Failure;
use crate::store::Store;

/// Tag of a restic snapshot that holds one database: its name is not in the dump.
const DATABASE_TAG: &str = "database=";
/// At most this many damages in a message.
const SHOWN: usize = 3;

/// A restore that can begin.
pub(super) struct Ready {
    /// The open repository.
    pub(super) repository: Arc<ResticRepository>,
    /// The server.
    pub(super) target: Box<dyn Target>,
    /// Databases to make before.
    pub(super) missing: Vec<String>,
    /// How the dump begins and ends.
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
        database.family.examine(ExamineRequest {
            connection: &database.connection,
            role: &database.role,
            source,
            args: &restore.args,
            wait_timeout: restore.wait_timeout,
        }),
    );
    let (size, outline) = data?;
    let target = target?;
    let accepted = target
        .accepts(&outline)
        .map_err(kubestash_database::Error::from)?;
    for note in &accepted.notes {
        tracing::warn!("{note}");
    }
    Ok(Ready {
        repository,
        target,
        missing: accepted.missing,
        outline,
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

/// Reads all data of a file; returns its size, its beginning and, if that says so, its end.
async fn examine(
    repository: &ResticRepository,
    id: &str,
    file: &str,
) -> Result<(u64, Outline), Failure> {
    let verified = repository
        .verify_snapshot(id, file, CheckDepth::ReadData)
        .await?;
    sound(&verified, id, &repository.location())?;
    tracing::info!("all data of restic snapshot {id} is there and readable");
    let read = async |ends: Ends| {
        let sink = Box::new(ends.clone());
        match repository
            .dump(id, file, sink, CancellationToken::new())
            .await
        {
            // It stops by itself when it has seen enough.
            Ok(_) | Err(EngineError::SinkFailed { .. }) => Ok(ends.take()),
            Err(error) => Err(Failure::from(error)),
        }
    };
    let mut outline = read(Ends::head()).await?;
    if outline.wants_tail() {
        outline = read(Ends::both()).await?;
    }
    Ok((verified.size, outline))
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

/// Takes the beginning of a stream, and either its end or nothing more.
#[derive(Clone)]
struct Ends(Arc<Mutex<(Outline, bool)>>);

impl Ends {
    /// The beginning; the rest is refused.
    fn head() -> Self {
        Self(Arc::new(Mutex::new((Outline::default(), false))))
    }

    /// Beginning and end.
    fn both() -> Self {
        Self(Arc::new(Mutex::new((Outline::default(), true))))
    }

    fn take(&self) -> Outline {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (outline, _) = &mut *ends;
        let surplus = outline.tail.len().saturating_sub(OUTLINE);
        outline.tail.drain(..surplus);
        std::mem::take(outline)
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (outline, to_end) = &mut *ends;
        let wanted = OUTLINE.saturating_sub(outline.head.len()).min(bytes.len());
        outline.head.extend_from_slice(&bytes[..wanted]);
        if *to_end {
            outline.tail.extend_from_slice(bytes);
            if outline.tail.len() > 4 * OUTLINE {
                let surplus = outline.tail.len() - OUTLINE;
                outline.tail.drain(..surplus);
            }
            return Ok(bytes.len());
        }
        match wanted {
            0 if !bytes.is_empty() => Err(io::ErrorKind::BrokenPipe.into()),
            wanted => Ok(wanted),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_stream_are_kept() {
        let mut head = Ends::head();
        head.write_all(&[1; 100]).unwrap();
        assert!(head.write_all(&[2; OUTLINE]).is_err());
        let kept = head.take();
        assert_eq!(
            (kept.head.len(), kept.head[99], kept.head[100]),
            (OUTLINE, 1, 2)
        );
        assert!(kept.tail.is_empty());

        let mut both = Ends::both();
        for byte in 0..20 {
            both.write_all(&vec![byte; OUTLINE / 2]).unwrap();
        }
        both.write_all(b"end").unwrap();
        let kept = both.take();
        assert_eq!((kept.head[0], kept.head[OUTLINE - 1]), (0, 1));
        assert_eq!((kept.tail.len(), kept.tail[0]), (OUTLINE, 18));
        assert!(kept.tail.ends_with(b"end"));
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
