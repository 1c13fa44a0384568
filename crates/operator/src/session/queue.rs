//! Whose turn it is: how many sessions work at once, and in which order the others wait.
//!
//! ```text
//!   stores: sessions at work, sessions in the queue ──► turn (pure) ──► now, or a place in the queue
//! ```
//! The queue is what the statuses say: a session that waits says so in its condition `Ready`, so a
//! restart of the operator forgets nothing. Invariant: never do more sessions work than the limit
//! allows. Those that were let in a moment ago count until their status says the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::backup_session::SNAPSHOTS_ENSURED;
use kubestash_api::conditions::{self};
use kubestash_api::core::{BackupSession, RestoreSession};
use kubestash_api::labels;
use kubestash_api::shared::{Condition, ConditionStatus};
use kubestash_domain::condition;

use crate::context::Context;
use crate::controllers::{backupsession, restoresession};

/// How many sessions work at once, unless the operator is told otherwise.
pub const MAX_SESSIONS: usize = 10;
/// Reason of the condition `Ready` of a session in the queue.
pub(crate) const QUEUED: &str = "Queued";
/// How often a session in the queue looks again; the end of another one wakes it sooner.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Much longer than any watch takes to show a change.
const LASTS: Duration = Duration::from_secs(10);

/// What sessions wait in order of. A restore comes before every backup: somebody needs the data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    is_backup: bool,
    at: Option<Timestamp>,
    name: String,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has begun and not ended.
    Working,
    /// It waits for its turn, and has said so.
    Queued,
    /// It has ended.
    Over,
    /// None of these: it waits for something else, or nothing is known about it yet.
    Aside,
}

/// A session as the queue sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    uid: String,
    rank: Rank,
    state: State,
}

/// Whether a session may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Turn {
    /// It may.
    #[default]
    Now,
    /// Others come first.
    Wait {
        /// Its place, counted from 1.
        place: usize,
        /// How many are at work.
        working: usize,
        /// How many may be.
        limit: usize,
    },
}

impl Turn {
    /// What a session that waits says; nothing if it is its turn.
    pub(crate) fn message(self) -> Option<String> {
        match self {
            Self::Now => None,
            Self::Wait {
                place,
                working,
                limit,
            } => Some(format!(
                "waits at place {place} of the queue: {working} sessions are running, and the limit is {limit} (the operator's --max-sessions)"
            )),
        }
    }
}

/// Decides whether `own` may begin beside `others`, of whom `limit` work at once; 0 sets no limit.
pub(crate) fn turn(own: &Entry, others: &[Entry], limit: usize) -> Turn {
    let others = || others.iter().filter(|other| other.uid != own.uid);
    let working = others()
        .filter(|other| other.state == State::Working)
        .count();
    let ahead = others()
        .filter(|other| other.state == State::Queued && other.rank < own.rank)
        .count();
    if limit == 0 || working + ahead < limit {
        return Turn::Now;
    }
    Turn::Wait {
        place: ahead + 1,
        working,
        limit,
    }
}

/// Whether a session says that it waits in the queue.
pub(crate) fn is_queued(conditions: &[Condition]) -> bool {
    condition::find(conditions, conditions::READY)
        .is_some_and(|ready| ready.status == ConditionStatus::Unknown && ready.reason == QUEUED)
}

/// A BackupSession as the queue sees it.
pub(crate) fn backup(session: &BackupSession) -> Entry {
    let conditions = session
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let has_begun = condition::has(conditions, SNAPSHOTS_ENSURED.type_);
    let is_over = backupsession::is_finished(session);
    let state = state(session, conditions, has_begun, is_over);
    entry(session, true, scheduled(session), state)
}

/// A RestoreSession as the queue sees it.
pub(crate) fn restore(session: &RestoreSession) -> Entry {
    let conditions = session
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let has_begun = restoresession::has_begun(session);
    let is_over = restoresession::is_finished(session);
    let state = state(session, conditions, has_begun, is_over);
    entry(session, false, created(session), state)
}

fn state<S: Resource>(
    session: &S,
    conditions: &[Condition],
    has_begun: bool,
    is_over: bool,
) -> State {
    if is_over {
        State::Over
    } else if has_begun {
        State::Working
    } else if is_queued(conditions) && session.meta().deletion_timestamp.is_none() {
        State::Queued
    } else {
        State::Aside
    }
}

fn entry<S: Resource>(session: &S, is_backup: bool, at: Option<Timestamp>, state: State) -> Entry {
    Entry {
        uid: session.meta().uid.clone().unwrap_or_default(),
        rank: Rank {
            is_backup,
            at,
            name: format!(
                "{}/{}",
                session.namespace().unwrap_or_default(),
                session.name_any()
            ),
        },
        state,
    }
}

fn created<S: Resource>(session: &S) -> Option<Timestamp> {
    let created = session.meta().creation_timestamp.as_ref();
    created.map(|time| time.0)
}

/// The second that a session was scheduled for: the scheduler puts it into the name. One made by
/// hand may have any number there, so what is far from its creation does not count.
fn scheduled(session: &BackupSession) -> Option<Timestamp> {
    let created = created(session)?;
    let name = session.name_any();
    let second = name
        .rsplit_once('-')
        .and_then(|(_, last)| last.parse().ok());
    let second = second.and_then(|second| Timestamp::from_second(second).ok());
    let near = |at: &Timestamp| {
        let late = created.duration_since(*at);
        late <= SignedDuration::from_hours(24) && late >= SignedDuration::from_mins(-1)
    };
    let is_ours = session.labels().contains_key(labels::MANAGED_BY);
    Some(second.filter(|at| is_ours && near(at)).unwrap_or(created))
}

/// The queue of one operator.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    /// Who was let in, for the moment until the stores show it.
    admitted: Mutex<HashMap<String, Instant>>,
}

impl Queue {
    /// A queue that lets so many work at once; 0 sets no limit.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            admitted: Mutex::default(),
        }
    }

    /// Whether it is the turn of `own`.
    pub(crate) fn turn(&self, ctx: &Context, own: &Entry) -> Turn {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        turn(own, &counted(entries(ctx), &admitted), self.limit)
    }

    /// Lets `own` in, unless others have taken the last place meanwhile.
    pub(crate) fn enter(&self, ctx: &Context, own: &Entry) -> bool {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.retain(|_, since| since.elapsed() < LASTS);
        let is_next = turn(own, &counted(entries(ctx), &admitted), self.limit) == Turn::Now;
        if is_next {
            admitted.insert(own.uid.clone(), Instant::now());
        }
        is_next
    }

    /// Gives the place of a session back whose object is about to be deleted: no store shows it as
    /// ended any more.
    pub(crate) fn leave(&self, uid: &str) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.remove(uid);
    }
}

fn entries(ctx: &Context) -> Vec<Entry> {
    let backups = ctx.watches.backup_sessions.list();
    let restores = ctx.watches.restore_sessions.list();
    let restores = restores.iter().map(|session| restore(session));
    backups
        .iter()
        .map(|session| backup(session))
        .chain(restores)
        .collect()
}

/// Those that were let in count as working, though the stores may not know, until the stores show
/// that they have ended.
fn counted(mut entries: Vec<Entry>, admitted: &HashMap<String, Instant>) -> Vec<Entry> {
    for entry in &mut entries {
        let since = admitted.get(&entry.uid);
        if since.is_some_and(|since| since.elapsed() < LASTS) && entry.state == State::Queued {
            entry.state = State::Working;
        }
    }
    // What the stores do not show at all, or not yet in the queue.
    let begun = |uid: &str| {
        let found = entries.iter().find(|entry| entry.uid == uid);
        found.is_some_and(|entry| [State::Working, State::Over].contains(&entry.state))
    };
    let missing: Vec<_> = admitted
        .iter()
        .filter(|(uid, since)| since.elapsed() < LASTS && !begun(uid))
        .map(|(uid, _)| uid.clone())
        .collect();
    entries.retain(|entry| !missing.contains(&entry.uid));
    entries.extend(missing.into_iter().map(|uid| Entry {
        uid,
        rank: Rank {
            is_backup: true,
            at: None,
            name: String::new(),
        },
        state: State::Working,
    }));
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn an_entry(uid: &str, is_backup: bool, second: i64, state: State) -> Entry {
        Entry {
            uid: uid.to_owned(),
            rank: Rank {
                is_backup,
                at: Timestamp::from_second(second).ok(),
                name: uid.to_owned(),
            },
            state,
        }
    }

    fn place(own: &Entry, others: &[Entry], limit: usize) -> usize {
        match turn(own, others, limit) {
            Turn::Now => 0,
            Turn::Wait { place, .. } => place,
        }
    }

    #[test]
    fn as_many_as_allowed_work_and_the_others_wait_restores_first_then_by_time() {
        use State::{Aside, Queued, Working};
        let backup = |uid: &str, second, state| an_entry(uid, true, second, state);
        let restore = |uid: &str, second, state| an_entry(uid, false, second, state);
        let others = [
            backup("a", 10, Working),
            restore("b", 20, Working),
            backup("c", 50, Queued),
            restore("d", 90, Queued),
            backup("e", 5, Aside),
            restore("f", 5, Aside),
        ];
        let cases = [
            // limit, own, place: 0 is at once
            (0, backup("x", 99, Aside), 0),
            (5, backup("x", 99, Aside), 0),
            (4, backup("x", 99, Aside), 3),
            (4, backup("x", 40, Aside), 0),
            (4, restore("x", 99, Aside), 0),
            (3, backup("x", 40, Aside), 2),
            (3, restore("x", 99, Aside), 2),
            (3, restore("x", 80, Aside), 0),
            (2, restore("x", 80, Aside), 1),
            // Those in the queue themselves.
            (2, others[2].clone(), 2),
            (2, others[3].clone(), 1),
            (3, others[3].clone(), 0),
            (3, others[2].clone(), 2),
            (4, others[2].clone(), 0),
        ];
        for (limit, own, expected) in cases {
            assert_eq!(place(&own, &others, limit), expected, "{limit} {own:?}");
        }
    }

    #[test]
    fn a_hundred_at_once_are_let_in_one_after_the_other_and_never_more_than_ten() {
        let mut sessions: Vec<_> = (0..100)
            .map(|n| an_entry(&format!("{n:03}"), n % 10 != 0, i64::from(n), State::Aside))
            .collect();
        let mut order = Vec::new();
        for _ in 0..1000 {
            for index in 0..sessions.len() {
                let own = sessions[index].clone();
                if matches!(own.state, State::Over | State::Working) {
                    continue;
                }
                sessions[index].state = match turn(&own, &sessions, 10) {
                    Turn::Now => State::Working,
                    Turn::Wait { .. } => State::Queued,
                };
                let working = sessions.iter().filter(|s| s.state == State::Working);
                assert!(working.count() <= 10);
            }
            if let Some(done) = sessions.iter_mut().find(|s| s.state == State::Working) {
                done.state = State::Over;
                order.push(done.uid.clone());
            }
        }
        assert_eq!(order.len(), 100);
    }

    #[test]
    fn one_that_was_let_in_counts_before_any_store_shows_it() {
        let admitted: HashMap<_, _> = ["let-in", "unknown"]
            .map(|uid| (uid.to_owned(), Instant::now()))
            .into();
        for state in [State::Aside, State::Queued, State::Working] {
            let stored = vec![an_entry("let-in", true, 1, state)];
            let counted = counted(stored, &admitted);
            let working = counted.iter().filter(|e| e.state == State::Working);
            assert_eq!(working.count(), 2, "{state:?}");
            assert_eq!(counted.len(), 2, "{state:?}");
        }
    }

    #[test]
    fn one_that_has_ended_gives_its_place_back_however_short_it_was() {
        let admitted: HashMap<_, _> = [("short".to_owned(), Instant::now())].into();
        let stored = vec![
            an_entry("short", true, 1, State::Over),
            an_entry("next", true, 2, State::Queued),
        ];
        let counted = counted(stored, &admitted);
        assert_eq!(place(&counted[1], &counted, 1), 0);

        let queue = Queue::new(1);
        *queue.admitted.lock().unwrap() = admitted;
        queue.leave("short");
        assert!(queue.admitted.lock().unwrap().is_empty());
    }

    fn session(name: &str, status: Value) -> BackupSession {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": name, "namespace": "demo", "uid": "u", "creationTimestamp": "2024-09-19T10:31:00Z",
                "labels": {"app.kubernetes.io/managed-by": "kubestash.com"}},
            "spec": {}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn what_a_session_says_is_where_it_stands() {
        let ready = |status: &str, reason: &str| json!({"conditions": [{"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": "2024-09-19T10:31:00Z"}]});
        let ensured = json!({"conditions": [{"type": "SnapshotsEnsured", "status": "True", "lastTransitionTime": "2024-09-19T10:31:00Z"}]});
        for (status, expected) in [
            (json!({}), State::Aside),
            (ready("Unknown", "Queued"), State::Queued),
            (ready("Unknown", "WaitingForSession"), State::Aside),
            (ensured, State::Working),
            (json!({"phase": "Failed"}), State::Over),
        ] {
            assert_eq!(
                backup(&session("s", status.clone())).state,
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn the_scheduled_second_is_read_from_the_name_if_it_can_be_one() {
        let at = |name: &str| {
            backup(&session(name, json!({})))
                .rank
                .at
                .unwrap()
                .to_string()
        };
        assert_eq!(at("c-s-1726741800"), "2024-09-19T10:30:00Z");
        for made_by_hand in [
            "first-1",
            "manual",
            "c-s-1826741800",
            "x-99999999999999999999",
        ] {
            assert_eq!(at(made_by_hand), "2024-09-19T10:31:00Z", "{made_by_hand}");
        }
    }
}
