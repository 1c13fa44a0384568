//! What a session waits for, said on the session while it waits.
//!
//! ```text
//!   engine: another one's lock ────┐
//!   engine: storage tried again ───┼─► Waits ─► a task of its own ─► condition `Waiting` of the session
//!   database: server tried again ──┘
//! ```
//! Invariant: the condition is there only while something is waited for. A Job that is killed in
//! the meantime leaves it behind; then the operator, who ends the session, says that nobody waits
//! any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use kubestash_api::conditions::executor::{
    DATABASE_UNREACHABLE, REPOSITORY_LOCKED, STORAGE_UNAVAILABLE, WAITING,
};
use kubestash_api::shared::Condition;
use kubestash_database::{DatabaseWait, database_waits};
use kubestash_domain::condition;
use kubestash_engine::storage::{RetryListener, StorageRetry, on_storage_retry};
use kubestash_engine::{LockWait, OnLockWait};
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Kind};

/// Field manager of the condition: what the executor says otherwise stays as it is.
const MANAGER: &str = "kubestash-executor-waiting";
/// A wait that is over sooner is not worth a word.
const WORTH_SAYING: Duration = Duration::from_secs(2);
/// How often it is looked whether there is anything new to say.
const LOOK: Duration = Duration::from_millis(500);
/// A storage that is not tried again for so long after it was due answers once more.
const ANSWERS: Duration = Duration::from_secs(30);
/// Time for the last word.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Everything that is waited for.
#[derive(Clone, Debug, Default)]
struct Waits {
    /// Locks by the place of their repository.
    locks: BTreeMap<String, LockWait>,
    /// The last request to a storage that failed, when that began, and until when it counts.
    storage: Option<(StorageRetry, Timestamp, Instant)>,
    /// Database servers by address, and since when.
    databases: BTreeMap<String, (DatabaseWait, Timestamp)>,
}

impl Waits {
    fn lock(&mut self, wait: Option<&LockWait>, location: &str) {
        match wait {
            Some(wait) => self.locks.insert(location.to_owned(), wait.clone()),
            None => self.locks.remove(location),
        };
    }

    fn retry(&mut self, retry: &StorageRetry, now: Timestamp, at: Instant) {
        let since = match &self.storage {
            Some((_, since, until)) if *until > at => *since,
            _ => now,
        };
        self.storage = Some((retry.clone(), since, at + retry.after + ANSWERS));
    }

    fn database(&mut self, wait: &DatabaseWait, now: Timestamp) {
        let address = &wait.address;
        if wait.message.is_none() {
            self.databases.remove(address);
            return;
        }
        let begun = self.databases.get(address).map(|(_, since)| *since);
        let waits = (wait.clone(), begun.unwrap_or(now));
        self.databases.insert(address.clone(), waits);
    }

    /// Reason and message; none if nothing is waited for.
    fn said(&self, at: Instant) -> Option<(&'static str, String)> {
        let storage = self.storage.as_ref().filter(|(_, _, until)| *until > at);
        if let Some((retry, since, _)) = storage {
            return Some((
                STORAGE_UNAVAILABLE,
                format!(
                    "waits for the storage, which does not answer since {since:.0}: {} failed: {}; it is tried again until nothing has worked for five minutes",
                    retry.operation, retry.error
                ),
            ));
        }
        if let Some((wait, since)) = self.databases.values().next() {
            return Some((
                DATABASE_UNREACHABLE,
                format!(
                    "waits for the database at {}, which does not answer since {since:.0}: {}; it is tried again for {} s",
                    wait.address,
                    wait.message.as_deref().unwrap_or_default(),
                    wait.timeout.as_secs()
                ),
            ));
        }
        let held: Vec<_> = self
            .locks
            .values()
            .map(|wait| {
                let kind = if wait.exclusive { "an exclusive" } else { "a" };
                format!(
                    "the repository at {}, on which {} holds {kind} lock since {}",
                    wait.location, wait.holder, wait.since
                )
            })
            .collect();
        (!held.is_empty()).then(|| {
            (
                REPOSITORY_LOCKED,
                format!("waits for {}", held.join("; for ")),
            )
        })
    }
}

/// Says what a session waits for, until it is ended.
pub(crate) struct Waiting {
    waits: Arc<watch::Sender<Waits>>,
    task: JoinHandle<()>,
    databases: JoinHandle<()>,
    _retries: RetryListener,
}

impl Waiting {
    /// Begins to say it on this session.
    pub(crate) fn begin<K: Kind>(cluster: &Cluster, session: &K) -> Self {
        let waits = Arc::new(watch::Sender::new(Waits::default()));
        // Neither listener keeps the channel open: that it closes is what ends the task.
        let heard = Arc::downgrade(&waits);
        let retries = on_storage_retry(move |retry| {
            let Some(heard) = heard.upgrade() else { return };
            heard.send_modify(|waits| waits.retry(retry, Timestamp::now(), Instant::now()));
        });
        let databases = tokio::spawn(hear(database_waits(), Arc::downgrade(&waits)));
        let task = tokio::spawn(report(cluster.clone(), session.clone(), waits.subscribe()));
        Self {
            waits,
            task,
            databases,
            _retries: retries,
        }
    }

    /// Listens to the locks of one repository's storage.
    pub(crate) fn locks(&self) -> OnLockWait {
        let waits = Arc::downgrade(&self.waits);
        let place = std::sync::Mutex::new(String::new());
        OnLockWait::call(move |wait| {
            let Some(waits) = waits.upgrade() else { return };
            let mut place = place
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(wait) = wait {
                place.clone_from(&wait.location);
            }
            waits.send_modify(|waits| waits.lock(wait, &place));
        })
    }

    /// Nothing is waited for any more: takes the condition away, if it is there.
    pub(crate) async fn end(self) {
        let Self {
            waits,
            task,
            databases,
            ..
        } = self;
        databases.abort();
        drop(waits);
        if tokio::time::timeout(LAST_WORD, task).await.is_err() {
            tracing::warn!("the API server did not accept the end of the condition Waiting");
        }
    }
}

/// Passes on which databases are waited for, as long as somebody takes it.
async fn hear(mut waits: broadcast::Receiver<DatabaseWait>, told: Weak<watch::Sender<Waits>>) {
    loop {
        let wait = match waits.recv().await {
            Ok(wait) => wait,
            // Newer ones follow.
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let Some(told) = told.upgrade() else { return };
        told.send_modify(|waits| waits.database(&wait, Timestamp::now()));
    }
}

async fn report<K: Kind>(cluster: Cluster, session: K, mut waits: watch::Receiver<Waits>) {
    let mut said: Option<(&'static str, String)> = None;
    let mut since: Option<Instant> = None;
    loop {
        let at = Instant::now();
        let wanted = waits.borrow_and_update().said(at);
        since = wanted.as_ref().and(since.or(Some(at)));
        let is_due = since.is_none_or(|since| said.is_some() || since.elapsed() >= WORTH_SAYING);
        if wanted != said && is_due {
            say(&cluster, &session, wanted.as_ref()).await;
            said = wanted;
        }
        let open = tokio::select! {
            changed = waits.changed() => changed.is_ok(),
            () = sleep(LOOK), if since.is_some() || said.is_some() => true,
        };
        if !open {
            break;
        }
    }
    if said.is_some() {
        say(&cluster, &session, None).await;
    }
}

async fn say<K: Kind>(cluster: &Cluster, session: &K, wait: Option<&(&'static str, String)>) {
    let conditions: Vec<Condition> = wait
        .map(|(reason, message)| Condition {
            reason: (*reason).to_owned(),
            ..condition::new(WAITING, true, message, Timestamp::now())
        })
        .into_iter()
        .collect();
    if let Some((_, message)) = wait {
        tracing::info!("{message}");
    }
    let status = json!({ "conditions": conditions });
    // What cannot be said does not keep the work from going on.
    if let Err(error) = cluster.apply_status_as(session, &status, MANAGER).await {
        tracing::warn!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(location: &str) -> LockWait {
        LockWait {
            location: location.to_owned(),
            holder: "laptop (process 7)".to_owned(),
            exclusive: true,
            since: "2024-09-19T10:30:46Z".to_owned(),
        }
    }

    fn retry(after: u64) -> StorageRetry {
        StorageRetry {
            operation: "write".to_owned(),
            error: "connection refused".to_owned(),
            after: Duration::from_secs(after),
        }
    }

    #[test]
    fn a_lock_is_told_with_its_holder_until_the_wait_is_over() {
        let (mut waits, at) = (Waits::default(), Instant::now());
        assert_eq!(waits.said(at), None);
        for location in ["a", "b"] {
            waits.lock(Some(&lock(location)), location);
        }
        let (reason, message) = waits.said(at).unwrap();
        assert_eq!(reason, "RepositoryLocked");
        for word in ["at a", "at b", "laptop (process 7)", "2024-09-19T10:30:46Z"] {
            assert!(message.contains(word), "{message}");
        }
        waits.lock(None, "a");
        assert!(!waits.said(at).unwrap().1.contains("at a,"));
        waits.lock(None, "b");
        assert_eq!(waits.said(at), None);
    }

    #[test]
    fn a_database_is_told_since_its_first_silence_until_it_answers() {
        let (mut waits, at) = (Waits::default(), Instant::now());
        let wait = |message: Option<&str>| DatabaseWait {
            address: "db.demo.svc:3306".to_owned(),
            message: message.map(str::to_owned),
            timeout: Duration::from_secs(300),
        };
        waits.database(&wait(Some("connection refused")), Timestamp::UNIX_EPOCH);
        waits.database(&wait(Some("no answer within 10 s")), Timestamp::MAX);
        assert_eq!(
            waits.said(at).unwrap(),
            (
                "DatabaseUnreachable",
                "waits for the database at db.demo.svc:3306, which does not answer since 1970-01-01T00:00:00Z: \
                 no answer within 10 s; it is tried again for 300 s"
                    .to_owned()
            )
        );
        waits.database(&wait(None), Timestamp::MAX);
        assert_eq!(waits.said(at), None);
    }

    #[test]
    fn a_storage_is_told_since_its_first_failure_and_until_it_is_not_tried_again() {
        let (mut waits, at) = (Waits::default(), Instant::now());
        let time = |second: i64| Timestamp::from_second(second).unwrap();
        waits.retry(&retry(1), time(0), at);
        let later = at + Duration::from_secs(20);
        waits.retry(&retry(30), time(20), later);
        waits.lock(Some(&lock("a")), "a");
        let (reason, message) = waits.said(later + Duration::from_secs(59)).unwrap();
        assert_eq!(reason, "StorageUnavailable");
        assert!(
            message.contains("since 1970-01-01T00:00:00Z")
                && message.contains("connection refused"),
            "{message}"
        );
        assert_eq!(
            waits.said(later + Duration::from_secs(61)).unwrap().0,
            "RepositoryLocked"
        );
        // Another outage begins anew.
        waits.retry(&retry(1), time(600), later + Duration::from_secs(600));
        let said = waits.said(later + Duration::from_secs(601)).unwrap().1;
        assert!(said.contains("1970-01-01T00:10:00Z"), "{said}");
    }
}
