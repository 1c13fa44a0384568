//! restic's lock protocol: one small encrypted file in `locks/` for each process at work.
//!
//! A writer holds a shared lock, a prune an exclusive one. To get one, write it, then look: if a
//! conflicting one is there, take one's own away and wait. Of two that come at once at least one
//! sees the other, as listings show what was written before. A lock is renewed every few minutes
//! and is stale when nobody renewed it for 30, or when its process was one of this machine and is
//! dead; then anybody may remove it. Beyond restic's rules, a lock may be removed when its holder
//! is known to be gone.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::files;
use super::id::Id;
use super::open::Opened;
use crate::error::Cause;
use crate::storage::Entry;
use crate::{CancellationToken, EngineError, machine};

/// Without a sign of life for so long, a lock is stale. restic's rule.
const STALE: Duration = Duration::from_secs(30 * 60);
/// After so many renewals in a row that failed (20 minutes, with the default interval) we stop,
/// well before others call our lock stale.
const FAILED_RENEWALS: u32 = 4;

/// Asked with the hostname field of another one's lock whether its holder is provably gone.
pub type OwnerGone = Arc<dyn Fn(String) -> BoxFuture<'static, bool> + Send + Sync>;

/// Another one's lock that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// The repository, in words.
    pub location: String,
    /// Who holds the lock.
    pub holder: String,
    /// Whether that is an exclusive lock, which keeps out all others.
    pub exclusive: bool,
    /// Since when it is held, as far as its file says.
    pub since: String,
}

/// What is called with a lock that is waited for.
type Told = dyn Fn(Option<&LockWait>) + Send + Sync;

/// Told of a lock that is waited for, and with nothing when the wait is over.
#[derive(Clone, Default)]
pub struct OnLockWait(Option<Arc<Told>>);

impl OnLockWait {
    /// Calls this.
    pub fn call(told: impl Fn(Option<&LockWait>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    fn tell(&self, wait: Option<&LockWait>) {
        if let Some(told) = &self.0 {
            told(wait);
        }
    }
}

impl fmt::Debug for OnLockWait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("OnLockWait")
            .field(&self.0.is_some())
            .finish()
    }
}

/// Tells that a wait is over, however it ends.
struct Waiting<'a>(&'a OnLockWait);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.tell(None);
    }
}

/// Who holds our locks, and how to find out whether another holder is gone.
#[derive(Clone)]
pub struct LockOwner {
    name: String,
    gone: Option<OwnerGone>,
}

impl LockOwner {
    /// An owner of this name (a Job's, for example): it becomes the hostname of lock files.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            gone: None,
        }
    }

    /// With a way to find out whether the holder of another lock is gone. It is asked with that
    /// lock's hostname, also when that is our own name (an earlier attempt of the same Job), but
    /// never for a lock that this process holds. It must answer `true` only when it is certain.
    #[must_use]
    pub fn with_gone_check(mut self, gone: OwnerGone) -> Self {
        self.gone = Some(gone);
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for LockOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LockOwner")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Who else may hold a lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Holders of shared locks.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A lock file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LockFile {
    time: Timestamp,
    exclusive: bool,
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
}

/// A lock that we hold. Dropping it gives it back in the background; [`Lock::release`] waits.
#[derive(Debug)]
pub(super) struct Lock {
    stop: Option<oneshot::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    lost: CancellationToken,
}

impl Lock {
    /// Gets a lock, waiting for others as long as the repository's options say.
    pub(super) async fn acquire(
        opened: &Arc<Opened>,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> Result<Self, EngineError> {
        let started = Instant::now();
        remove_unfinished(opened).await;
        loop {
            let (lock, id) = Self::take(opened, mode).await?;
            let holder = match conflict(opened, mode, Some(id)).await {
                Ok(None) => return Ok(lock),
                Ok(Some(holder)) => holder,
                Err(error) => {
                    lock.release().await;
                    return Err(error);
                }
            };
            lock.release().await;
            wait_until_free(opened, mode, holder, started, cancel).await?;
        }
    }

    /// Fires when the lock could not be kept alive: what it protects must not be committed.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the lock back.
    pub(super) async fn release(mut self) {
        self.stop.take();
        if let Some(keeper) = self.keeper.take()
            && let Err(error) = keeper.await
        {
            tracing::warn!(%error, "failed to give a repository's lock back");
        }
    }

    /// Writes a lock and starts to renew it. The task that does so also removes it, whatever
    /// becomes of us.
    async fn take(opened: &Arc<Opened>, mode: Mode) -> Result<(Self, Id), EngineError> {
        let (stop, stopped) = oneshot::channel();
        let (written, id) = oneshot::channel();
        let lost = CancellationToken::new();
        let keeper = tokio::spawn({
            let (opened, lost) = (Arc::clone(opened), lost.clone());
            async move {
                match write(&opened, mode).await {
                    Ok(id) => {
                        // Nobody may be waiting for it any more; then it is given back at once.
                        let _ = written.send(Ok(id));
                        keep_alive(&opened, mode, id, stopped, lost).await;
                    }
                    Err(error) => {
                        let _ = written.send(Err(error));
                    }
                }
            }
        });
        let lock = Self {
            stop: Some(stop),
            keeper: Some(keeper),
            lost,
        };
        match id.await {
            Ok(Ok(id)) => Ok((lock, id)),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(EngineError::Internal {
                what: format!("lock the repository at {}", opened.location),
                source: Some(Box::new(error)),
            }),
        }
    }
}

/// Renews a lock until told to stop, then removes it.
async fn keep_alive(
    opened: &Opened,
    mode: Mode,
    mut id: Id,
    mut stopped: oneshot::Receiver<()>,
    lost: CancellationToken,
) {
    let mut failed = 0;
    loop {
        tokio::select! {
            // An error means that the holder was dropped, which ends it as well.
            _ = &mut stopped => break,
            () = sleep(opened.options.lock_refresh) => {}
        }
        match write(opened, mode).await {
            Ok(new) => {
                remove(opened, id).await;
                id = new;
                failed = 0;
            }
            Err(error) => {
                tracing::warn!(location = %opened.location, %error, "failed to renew a repository's lock");
                failed += 1;
                if failed >= FAILED_RENEWALS {
                    lost.cancel();
                    break;
                }
            }
        }
    }
    remove(opened, id).await;
}

/// Removes all stale locks; returns how many. Also what writers that were killed left of one.
pub(super) async fn remove_stale(opened: &Arc<Opened>) -> Result<u64, EngineError> {
    remove_unfinished(opened).await;
    let mut removed = 0;
    for (entry, id) in list(opened).await? {
        if let Found::Stale = look(opened, &entry, id).await? {
            opened.store.delete(&entry.path).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What a lock file is to us.
enum Found {
    /// Nothing: given back meanwhile.
    Gone,
    /// Its holder is at work.
    Held(Holder),
    /// Its holder is gone.
    Stale,
}

/// The holder of a lock.
struct Holder {
    lock: Id,
    exclusive: bool,
    who: String,
    since: String,
}

impl Holder {
    fn wait(&self, opened: &Opened) -> LockWait {
        LockWait {
            location: opened.location.clone(),
            holder: self.who.clone(),
            exclusive: self.exclusive,
            since: self.since.clone(),
        }
    }

    fn into_error(self, opened: &Opened, waited: Duration) -> EngineError {
        EngineError::Locked {
            location: opened.location.clone(),
            waited_seconds: waited.as_secs(),
            holder: self.who,
            kind: if self.exclusive {
                "an exclusive"
            } else {
                "a shared"
            },
            lock: self.lock.to_string(),
            since: self.since,
        }
    }
}

/// Waits until no other lock is in the way, without holding one.
async fn wait_until_free(
    opened: &Opened,
    mode: Mode,
    mut holder: Holder,
    started: Instant,
    cancel: &CancellationToken,
) -> Result<(), EngineError> {
    tracing::info!(location = %opened.location, holder = %holder.who, "waiting for a repository's lock");
    let told = &opened.options.on_lock_wait;
    told.tell(Some(&holder.wait(opened)));
    let _over = Waiting(told);
    loop {
        let waited = started.elapsed();
        if waited >= opened.options.lock_wait {
            return Err(holder.into_error(opened, waited));
        }
        // Two that wait for each other must not come back at the same moment for ever.
        let poll = opened
            .options
            .lock_poll
            .mul_f64(rand::RngExt::random_range(&mut rand::rng(), 0.75..1.25));
        tokio::select! {
            () = cancel.cancelled() => return Err(EngineError::Cancelled),
            () = sleep(poll) => {}
        }
        match conflict(opened, mode, None).await? {
            None => return Ok(()),
            Some(other) => {
                if other.lock != holder.lock {
                    told.tell(Some(&other.wait(opened)));
                }
                holder = other;
            }
        }
    }
}

/// A lock other than `own` that is in the way. Stale ones are removed in passing.
async fn conflict(
    opened: &Opened,
    mode: Mode,
    own: Option<Id>,
) -> Result<Option<Holder>, EngineError> {
    let mut in_the_way = None;
    for (entry, id) in list(opened).await? {
        if Some(id) == own {
            continue;
        }
        match look(opened, &entry, id).await? {
            Found::Gone => {}
            Found::Stale => {
                tracing::warn!(location = %opened.location, lock = %id, "removing a stale lock of a repository");
                opened.store.delete(&entry.path).await?;
            }
            Found::Held(holder) if mode == Mode::Exclusive || holder.exclusive => {
                in_the_way = Some(holder);
            }
            Found::Held(_) => {}
        }
    }
    Ok(in_the_way)
}

/// Removes what writers that were killed left of a lock.
async fn remove_unfinished(opened: &Opened) {
    let locks = files::path(&opened.directory, files::LOCKS);
    // They are in nobody's way, so a failure must not be either.
    if let Err(error) = opened.store.remove_abandoned(&locks).await {
        tracing::warn!(location = %opened.location, %error, "failed to remove unfinished locks of a repository");
    }
}

/// All lock files.
async fn list(opened: &Opened) -> Result<Vec<(Entry, Id)>, EngineError> {
    let entries = opened
        .store
        .list(&files::path(&opened.directory, files::LOCKS))
        .await?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| files::id_of(&entry.path).map(|id| (entry, id)))
        .collect())
}

/// Locks that this process holds: never stale, whatever their owner's name.
fn ours() -> MutexGuard<'static, HashSet<Id>> {
    static OURS: OnceLock<Mutex<HashSet<Id>>> = OnceLock::new();
    OURS.get_or_init(Mutex::default)
        .lock()
        // A set of ids is sound even if a holder of the mutex panicked.
        .unwrap_or_else(PoisonError::into_inner)
}

/// Writes a lock file and returns its id.
async fn write(opened: &Opened, mode: Mode) -> Result<Id, EngineError> {
    let file = LockFile {
        time: Timestamp::now(),
        exclusive: mode == Mode::Exclusive,
        hostname: opened.options.owner.name.clone(),
        username: "kubestash".to_owned(),
        pid: std::process::id(),
    };
    let (id, content) = files::seal(&opened.key, opened.compress, &file).map_err(|source| {
        EngineError::Internal {
            what: "encode a lock".to_owned(),
            source: Some(source),
        }
    })?;
    ours().insert(id);
    let path = opened.path_of(files::LOCKS, &id);
    if let Err(error) = opened.store.write(&path, content, None).await {
        // The write may have arrived all the same.
        remove(opened, id).await;
        return Err(error.into());
    }
    Ok(id)
}

/// Removes a lock of ours. A failure is told in the log: the lock then becomes stale.
async fn remove(opened: &Opened, id: Id) {
    let path = opened.path_of(files::LOCKS, &id);
    if let Err(error) = opened.store.delete(&path).await {
        tracing::warn!(location = %opened.location, lock = %id, %error, "failed to remove a repository's lock");
    }
    ours().remove(&id);
}

async fn look(opened: &Opened, entry: &Entry, id: Id) -> Result<Found, EngineError> {
    let content = match opened.store.read(&entry.path).await {
        Err(error) if error.is_not_found() => return Ok(Found::Gone),
        other => other?,
    };
    let age = |time: Timestamp| Duration::try_from(Timestamp::now().duration_since(time)).ok();
    let file = files::unseal(&opened.key, &content)
        .and_then(|json| serde_json::from_slice::<LockFile>(&json).map_err(Cause::from));
    let Ok(file) = file else {
        // Unreadable locks count as held, but not for longer than others.
        let since = entry.modified.unwrap_or_else(Timestamp::now);
        if age(since).is_some_and(|age| age > STALE) {
            return Ok(Found::Stale);
        }
        return Ok(Found::Held(Holder {
            lock: id,
            exclusive: false,
            who: "an unknown process (its lock cannot be read)".to_owned(),
            since: since.to_string(),
        }));
    };
    let held = Found::Held(Holder {
        lock: id,
        exclusive: file.exclusive,
        who: format!("{} (process {})", file.hostname, file.pid),
        since: file.time.to_string(),
    });
    if ours().contains(&id) {
        return Ok(held);
    }
    // Dated far in the future: the clock was wrong then, or is now. Whoever is alive renews its
    // lock, and the storage has a clock of its own.
    let ahead = file.time.duration_since(Timestamp::now()) > jiff::SignedDuration::from_mins(30);
    let since = match entry.modified {
        Some(modified) if ahead => modified,
        _ => file.time,
    };
    if age(since).is_some_and(|age| age > STALE) {
        return Ok(Found::Stale);
    }
    if machine::sees_dead(&file.hostname, file.pid) {
        return Ok(Found::Stale);
    }
    if let Some(gone) = &opened.options.owner.gone
        && gone(file.hostname).await
    {
        return Ok(Found::Stale);
    }
    Ok(held)
}

#[cfg(test)]
mod tests;
