//! Which Snapshots a RetentionPolicy lets go.
//!
//! The rules, applied to the Snapshots of one repository and one session, with times in UTC
//! (`docs/compatibility.md`, "Retention"):
//!
//! 1. A Snapshot that is still being made is never touched.
//! 2. What is older than the period goes, succeeded or failed.
//! 3. Of the rest, a succeeded one stays if any rule keeps it: it is one of the newest `last`, or
//!    the newest of one of the newest hours, days, ISO weeks, months or years that have a Snapshot.
//!    With no such rule the period alone decides.
//! 4. Of the failed ones the newest `failed_last` stay.
//! 5. The newest succeeded one always stays, whatever the period says: the last copy of somebody's
//!    data does not vanish because nobody made a newer one. "Newest" is asked twice, by the time in
//!    the Snapshot and by the creation of its object: the two come from different clocks.
//! 6. What the session itself has just made always stays.
//! 7. What is dated in the future was made under a wrong clock. It neither counts nor goes, and so
//!    is no reason for another one to go.
//!
//! A period of zero or less limits nothing, and so does a negative count: a typing error must not
//! delete backups.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How far a Snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its data is complete.
    Succeeded,
    /// It ended without its data being complete.
    Failed,
    /// It is pending or running.
    Unfinished,
}

/// A Snapshot as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the Snapshot, unique among the candidates.
    pub name: String,
    /// When it was taken.
    pub time: Timestamp,
    /// When its object was created.
    pub created: Timestamp,
    /// Whether it belongs to the session that applies the policy.
    pub own: bool,
    /// How it ended.
    pub outcome: Outcome,
}

/// How many succeeded Snapshots to keep, for each rule that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The newest ones.
    pub last: Option<i32>,
    /// The newest one of each hour.
    pub hourly: Option<i32>,
    /// The newest one of each day.
    pub daily: Option<i32>,
    /// The newest one of each ISO week (Monday to Sunday).
    pub weekly: Option<i32>,
    /// The newest one of each month.
    pub monthly: Option<i32>,
    /// The newest one of each year.
    pub yearly: Option<i32>,
}

/// A retention policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Age in minutes above which Snapshots go; absent, zero or negative: no limit.
    pub max_age_minutes: Option<i64>,
    /// Which succeeded ones to keep; no rule given: all that are young enough.
    pub successful: Counts,
    /// How many failed ones to keep.
    pub failed_last: i32,
}

/// Names of the Snapshots among `candidates` that `rules` let go at `now`, oldest first.
pub fn stale(rules: &Rules, candidates: &[Candidate], now: Timestamp) -> Vec<String> {
    let mut newest_first: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| candidate.outcome != Outcome::Unfinished)
        .collect();
    // Equal times are told apart by name, so that the choice does not depend on the order given.
    newest_first.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| b.name.cmp(&a.name)));

    let succeeded = |candidate: &&&Candidate| candidate.outcome == Outcome::Succeeded;
    let young: Vec<&Candidate> = newest_first
        .iter()
        .copied()
        .filter(|candidate| !is_too_old(rules, candidate.time, now))
        .filter(|candidate| !is_in_future(candidate, now))
        .collect();
    let young_succeeded: Vec<&Candidate> = young.iter().filter(succeeded).copied().collect();

    let mut kept: BTreeSet<&str> = BTreeSet::new();
    kept.extend(successful_kept(&rules.successful, &young_succeeded));
    kept.extend(
        young
            .iter()
            .filter(|candidate| candidate.outcome == Outcome::Failed)
            .take(limit(rules.failed_last))
            .map(|candidate| candidate.name.as_str()),
    );
    let newest = newest_first
        .iter()
        .filter(succeeded)
        .find(|candidate| !is_in_future(candidate, now));
    let last_created = newest_first
        .iter()
        .filter(succeeded)
        .max_by_key(|candidate| (candidate.created, candidate.time, &candidate.name));
    let protected = newest_first
        .iter()
        .filter(|candidate| candidate.own || is_in_future(candidate, now));
    kept.extend(
        newest
            .into_iter()
            .chain(last_created)
            .chain(protected)
            .map(|candidate| candidate.name.as_str()),
    );

    newest_first
        .iter()
        .rev()
        .filter(|candidate| !kept.contains(candidate.name.as_str()))
        .map(|candidate| candidate.name.clone())
        .collect()
}

/// Names of the finished Snapshots among `candidates` that are dated after `now`, the furthest
/// first: the clock was wrong when they were made, or is now.
pub fn in_future(candidates: &[Candidate], now: Timestamp) -> Vec<String> {
    let mut found: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| candidate.outcome != Outcome::Unfinished)
        .filter(|candidate| is_in_future(candidate, now))
        .collect();
    found.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.name.cmp(&b.name)));
    found.into_iter().map(|found| found.name.clone()).collect()
}

fn is_in_future(candidate: &Candidate, now: Timestamp) -> bool {
    candidate.time > now
}

fn is_too_old(rules: &Rules, time: Timestamp, now: Timestamp) -> bool {
    let Some(minutes) = rules.max_age_minutes.filter(|minutes| *minutes > 0) else {
        return false;
    };
    let age = now.as_second().saturating_sub(time.as_second());
    age > minutes.saturating_mul(60)
}

/// Names of the succeeded Snapshots (newest first) that at least one rule keeps.
fn successful_kept<'a>(counts: &Counts, newest_first: &[&'a Candidate]) -> Vec<&'a str> {
    let all = || newest_first.iter().map(|candidate| candidate.name.as_str());
    let rules = [
        (counts.last, Bucket::Each),
        (counts.hourly, Bucket::Hour),
        (counts.daily, Bucket::Day),
        (counts.weekly, Bucket::Week),
        (counts.monthly, Bucket::Month),
        (counts.yearly, Bucket::Year),
    ];
    if rules.iter().all(|(count, _)| count.is_none()) {
        return all().collect();
    }
    let mut kept = Vec::new();
    for (count, bucket) in rules {
        let Some(count) = count else { continue };
        let mut previous = None;
        let newest_of_each = newest_first
            .iter()
            .enumerate()
            .filter(|(index, candidate)| {
                let key = bucket.key(candidate.time, *index);
                let is_new = previous != Some(key);
                previous = Some(key);
                is_new
            });
        kept.extend(
            newest_of_each
                .take(limit(count))
                .map(|(_, candidate)| candidate.name.as_str()),
        );
    }
    kept
}

/// A negative count keeps all.
fn limit(count: i32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The span of time of which a rule keeps one Snapshot.
#[derive(Debug, Clone, Copy)]
enum Bucket {
    Each,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Bucket {
    /// A value that is equal for two times in one bucket and differs for others.
    fn key(self, time: Timestamp, index: usize) -> (i64, i64) {
        let local = time.to_zoned(TimeZone::UTC);
        let year = i64::from(local.year());
        match self {
            Self::Each => (0, i64::try_from(index).unwrap_or(i64::MAX)),
            Self::Hour => (0, time.as_second().div_euclid(3600)),
            Self::Day => (0, time.as_second().div_euclid(86_400)),
            Self::Week => {
                let week = local.date().iso_week_date();
                (i64::from(week.year()), i64::from(week.week()))
            }
            Self::Month => (year, i64::from(local.month())),
            Self::Year => (year, 0),
        }
    }
}
