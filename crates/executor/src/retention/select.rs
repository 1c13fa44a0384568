//! From a RetentionPolicy and Snapshot objects to the ones that go: pure.

use jiff::Timestamp;
use kubestash_api::storage::{RetentionPolicySpec, Snapshot, SnapshotPhase};
use kubestash_domain::period::{self, PeriodError};
use kubestash_domain::retention::{self, Candidate, Counts, Outcome, Rules};

/// The rules of a policy.
///
/// # Errors
/// If its period cannot be read.
pub(super) fn rules(spec: &RetentionPolicySpec) -> Result<Rules, PeriodError> {
    let period = spec
        .max_retention_period
        .as_deref()
        .filter(|period| !period.trim().is_empty());
    let keep = spec.successful_snapshots.unwrap_or_default();
    Ok(Rules {
        max_age_minutes: period.map(period::minutes).transpose()?,
        successful: Counts {
            last: keep.last,
            hourly: keep.hourly,
            daily: keep.daily,
            weekly: keep.weekly,
            monthly: keep.monthly,
            yearly: keep.yearly,
        },
        failed_last: spec.failed_snapshots.unwrap_or_default().last,
    })
}

/// What a policy says about the Snapshots of a repository.
pub(super) struct Selected {
    /// Those that go, oldest first.
    pub(super) stale: Vec<Snapshot>,
    /// Names of those that are dated in the future: they are neither counted nor removed.
    pub(super) in_future: Vec<String>,
}

/// Applies `rules` for the BackupSession `own`. One that is being deleted is somebody else's work,
/// and one without a time is not judged.
pub(super) fn select(
    rules: &Rules,
    snapshots: Vec<Snapshot>,
    own: &str,
    now: Timestamp,
) -> Selected {
    let mut snapshots: Vec<(Candidate, Snapshot)> = snapshots
        .into_iter()
        .filter(|snapshot| snapshot.metadata.deletion_timestamp.is_none())
        .filter_map(|snapshot| Some((candidate(&snapshot, own)?, snapshot)))
        .collect();
    let candidates: Vec<Candidate> = snapshots
        .iter()
        .map(|(candidate, _)| candidate.clone())
        .collect();
    let names = retention::stale(rules, &candidates, now);
    let position = |name: &str| names.iter().position(|stale| stale == name);
    snapshots.retain(|(candidate, _)| position(&candidate.name).is_some());
    snapshots.sort_by_key(|(candidate, _)| position(&candidate.name));
    Selected {
        stale: snapshots
            .into_iter()
            .map(|(_, snapshot)| snapshot)
            .collect(),
        in_future: retention::in_future(&candidates, now),
    }
}

fn candidate(snapshot: &Snapshot, own: &str) -> Option<Candidate> {
    let status = snapshot.status.as_ref();
    let taken = status.and_then(|status| status.snapshot_time.as_ref());
    let created = snapshot.metadata.creation_timestamp.as_ref();
    let time = taken.or(created)?.0;
    let outcome = match status.and_then(|status| status.phase) {
        Some(SnapshotPhase::Succeeded) => Outcome::Succeeded,
        Some(SnapshotPhase::Failed) => Outcome::Failed,
        _ => Outcome::Unfinished,
    };
    Some(Candidate {
        name: snapshot.metadata.name.clone()?,
        time,
        created: created.map_or(time, |created| created.0),
        own: snapshot.spec.backup_session == own,
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(spec: Value) -> Rules {
        rules(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn snapshot(minute: u32, phase: &str, deleted: bool) -> Snapshot {
        let time = format!("2024-09-19T10:{minute:02}:00Z");
        let mut metadata = json!({"name": format!("s-{minute:02}"), "creationTimestamp": time});
        if deleted {
            metadata["deletionTimestamp"] = json!(time);
        }
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot", "metadata": metadata,
            "spec": {}, "status": {"phase": phase, "snapshotTime": time},
        }))
        .unwrap()
    }

    fn names(rules: &Rules, snapshots: Vec<Snapshot>) -> Vec<String> {
        let now = "2024-09-19T11:00:00Z".parse().unwrap();
        select(rules, snapshots, "own", now)
            .stale
            .into_iter()
            .filter_map(|s| s.metadata.name)
            .collect()
    }

    #[test]
    fn the_tutorials_policy_keeps_five_and_two() {
        let rules = policy(json!({
            "failedSnapshots": {"last": 2}, "maxRetentionPeriod": "2mo", "successfulSnapshots": {"last": 5},
        }));
        let succeeded = (0..7).map(|minute| snapshot(minute, "Succeeded", false));
        let failed = (10..14).map(|minute| snapshot(minute, "Failed", false));
        let working = [
            snapshot(20, "Running", false),
            snapshot(21, "Pending", false),
        ];
        let all: Vec<_> = working.into_iter().chain(failed).chain(succeeded).collect();
        assert_eq!(names(&rules, all), ["s-00", "s-01", "s-10", "s-11"]);
    }

    #[test]
    fn what_is_being_deleted_is_left_to_whoever_deletes_it() {
        let rules = policy(json!({"successfulSnapshots": {"last": 1}}));
        let all = vec![
            snapshot(1, "Succeeded", true),
            snapshot(2, "Succeeded", false),
            snapshot(3, "Succeeded", false),
        ];
        assert_eq!(names(&rules, all), ["s-02"]);
    }

    #[test]
    fn what_the_session_made_stays_and_what_is_dated_in_the_future_is_told() {
        let rules =
            policy(json!({"successfulSnapshots": {"last": 1}, "maxRetentionPeriod": "50m"}));
        let mut own = snapshot(1, "Succeeded", false);
        own.spec.backup_session = "own".to_owned();
        let mut ahead = snapshot(5, "Succeeded", false);
        let status = ahead.status.as_mut().unwrap();
        status.snapshot_time.as_mut().unwrap().0 = "2025-10-24T10:00:00Z".parse().unwrap();
        let all = vec![
            own,
            ahead,
            snapshot(30, "Succeeded", false),
            snapshot(20, "Succeeded", false),
        ];
        let now = "2024-09-19T11:00:00Z".parse().unwrap();
        let selected = select(&rules, all, "own", now);
        let stale: Vec<_> = selected
            .stale
            .iter()
            .filter_map(|s| s.metadata.name.clone())
            .collect();
        assert_eq!(stale, ["s-20"]);
        assert_eq!(selected.in_future, ["s-05"]);
    }

    #[test]
    fn a_period_alone_decides_alone_and_a_bad_one_is_an_error() {
        let rules = policy(json!({"maxRetentionPeriod": "50m"}));
        let all = (8..12)
            .map(|minute| snapshot(minute, "Succeeded", false))
            .collect();
        assert_eq!(names(&rules, all), ["s-08", "s-09"]);
        let empty = policy(json!({"maxRetentionPeriod": ""}));
        assert_eq!(empty.max_age_minutes, None);
        let bad = serde_json::from_value(json!({"maxRetentionPeriod": "soon"})).unwrap();
        assert!(rules_error(&bad).contains("soon"));
    }

    fn rules_error(spec: &RetentionPolicySpec) -> String {
        super::rules(spec).unwrap_err().to_string()
    }
}
