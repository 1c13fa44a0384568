//! What a backup says in the status of its Snapshot: pure.
//!
//! Invariant: "Succeeded" is only said with the id of a restic snapshot that is durable, and for
//! the Snapshot as a whole only together with the uploaded file. A failed attempt leaves the phase
//! at `Running`, with the reason: whether there will be another attempt only the operator knows.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubestash_api::conditions::snapshot::SNAPSHOT_METADATA_UPLOADED;
use kubestash_api::shared::{Condition, Driver};
use kubestash_api::storage::{
    Component, DamagedSnapshot, ResticStats, ResticSummary, Snapshot, SnapshotPhase, SnapshotStatus,
};
use kubestash_domain::{condition, format, phase};
use kubestash_engine::{BackupSummary, Examined};

use crate::failure::{Failure, one_line};
use crate::log::listed;

/// What is known of a dump beside its databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    /// What is in the databases and not in it.
    pub(super) left_out: Vec<String>,
    /// What may keep it from coming back.
    pub(super) warnings: Vec<String>,
}

impl Remarks {
    /// What the last attempt has said.
    pub(super) fn recorded(snapshot: &Snapshot, component: &str) -> Self {
        let status = snapshot.status.as_ref();
        let component = status.and_then(|status| status.components.get(component));
        component.map_or_else(Self::default, |component| Self {
            left_out: component.left_out.clone(),
            warnings: component.warnings.clone(),
        })
    }
}

/// A restic snapshot that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Its id.
    pub(super) id: String,
    /// Bytes of the dump.
    pub(super) size: u64,
    /// Bytes that were new; unknown of a restic snapshot that does not say so.
    pub(super) uploaded: Option<u64>,
    /// When the dump began.
    pub(super) started: Option<Timestamp>,
    /// When it was durable.
    pub(super) finished: Option<Timestamp>,
    /// What is known of the repository since then, if somebody looked.
    pub(super) examined: Option<Examined>,
    /// The databases in it, as far as they are known.
    pub(super) databases: Vec<String>,
    /// What else is known of it.
    pub(super) remarks: Remarks,
}

impl From<BackupSummary> for Stored {
    fn from(summary: BackupSummary) -> Self {
        Self {
            id: summary.snapshot_id,
            size: summary.bytes_processed,
            uploaded: Some(summary.data_added),
            started: Some(summary.started),
            finished: Some(summary.finished),
            examined: Some(summary.examined),
            databases: Vec::new(),
            remarks: Remarks::default(),
        }
    }
}

/// What is stored, for the log: `3.750 MiB of dump (druid), restic snapshot 8f2b`.
pub(super) fn what(component: &str, stored: &Stored) -> String {
    let databases = match stored.databases.as_slice() {
        [] => String::new(),
        names => format!(" ({})", listed(names)),
    };
    format!(
        "{} of {component}{databases}, restic snapshot {}",
        format::bytes(stored.size),
        stored.id
    )
}

/// The component of a dump that is stored. `file` is its name in the repository.
pub(super) fn component(
    path: &str,
    file: &str,
    stored: &Stored,
    examined: &Examined,
    duration: Duration,
) -> Component {
    let time = |time: Option<Timestamp>| time.map(|time| Time(whole_second(time)));
    let is_own = |damaged: &kubestash_engine::DamagedSnapshot| damaged.id == stored.id;
    let damaged = examined.damaged_snapshots.iter().take(MOST_DAMAGED);
    Component {
        databases: stored.databases.clone(),
        driver: Some(Driver::Restic),
        duration: Some(format::go_duration(duration)),
        integrity: Some(!examined.damaged_snapshots.iter().any(is_own)),
        damage: damage(examined),
        damaged_snapshots: damaged
            .map(|damaged| DamagedSnapshot {
                id: damaged.id.clone(),
                reason: one_line(&damaged.reason),
            })
            .collect(),
        data_read_since: time(examined.read_since),
        left_out: few(&stored.remarks.left_out),
        warnings: few(&stored.remarks.warnings),
        path: Some(path.to_owned()),
        phase: Some(SnapshotPhase::Succeeded),
        restic_stats: vec![ResticStats::from_summary(ResticSummary {
            end_time: time(stored.finished),
            host_path: Some(file.to_owned()),
            id: Some(stored.id.clone()),
            size: Some(format::bytes(stored.size)),
            start_time: time(stored.started),
            uploaded: stored.uploaded.map(format::bytes),
        })],
        size: Some(format::bytes(examined.stats.total_size)),
        ..Component::default()
    }
}

/// Damaged restic snapshots that a status names.
const MOST_DAMAGED: usize = 500;
/// Sentences about damage in a status.
const MOST_SENTENCES: usize = 10;

/// What was found missing or damaged, and at last whether anything is lost.
fn damage(examined: &Examined) -> Vec<String> {
    let end = examined.recovered().map(str::to_owned);
    few(&examined.damage).into_iter().chain(end).collect()
}

/// Sentences as a status holds them.
fn few(sentences: &[String]) -> Vec<String> {
    let mut few: Vec<String> = sentences
        .iter()
        .take(MOST_SENTENCES)
        .map(|sentence| one_line(sentence))
        .collect();
    if sentences.len() > MOST_SENTENCES {
        few.push(format!("and {} more", sentences.len() - MOST_SENTENCES));
    }
    few
}

/// The status with one component that works, with what is known of it beforehand, or has failed in
/// this attempt.
pub(super) fn attempt(
    snapshot: &Snapshot,
    component: &str,
    path: &str,
    outcome: Result<&Remarks, &Failure>,
) -> SnapshotStatus {
    let mut status = ours(snapshot);
    let entry = Component {
        driver: Some(Driver::Restic),
        path: Some(path.to_owned()),
        phase: Some(SnapshotPhase::Running),
        error: outcome.err().map(|failure| failure.message.clone()),
        left_out: outcome.map_or_else(|_| Vec::new(), |remarks| few(&remarks.left_out)),
        warnings: outcome.map_or_else(|_| Vec::new(), |remarks| few(&remarks.warnings)),
        ..Component::default()
    };
    status.components.insert(component.to_owned(), entry);
    derive(snapshot, &mut status);
    status
}

/// The status with one component stored; if that was the last one, it is ready to be published.
pub(super) fn stored(snapshot: &Snapshot, name: &str, component: Component) -> SnapshotStatus {
    let mut status = ours(snapshot);
    status.components.insert(name.to_owned(), component);
    derive(snapshot, &mut status);
    status
}

/// Whether all components of a status are there and succeeded.
pub(super) fn is_complete(snapshot: &Snapshot, status: &SnapshotStatus) -> bool {
    let total = snapshot
        .status
        .as_ref()
        .and_then(|status| status.total_components);
    phase::snapshot_components(total, &status.components) == SnapshotPhase::Succeeded
}

/// The status that a Snapshot has once its file is uploaded.
pub(super) fn published(
    snapshot: &Snapshot,
    mut status: SnapshotStatus,
    now: Timestamp,
) -> SnapshotStatus {
    let message = "Metadata uploaded to backend successfully";
    let uploaded = condition::new(SNAPSHOT_METADATA_UPLOADED, true, message, whole_second(now));
    condition::set(&mut status.conditions, uploaded);
    derive(snapshot, &mut status);
    status
}

/// The Snapshot as it is stored beside its data: with this status, without what only this API
/// server knows.
pub(super) fn file_of(snapshot: &Snapshot, status: &SnapshotStatus) -> Snapshot {
    let mut file = snapshot.clone();
    file.metadata.managed_fields = None;
    file.metadata.resource_version = None;
    let before = file.status.take().unwrap_or_default();
    file.status = Some(SnapshotStatus {
        total_components: before.total_components,
        verification_status: before.verification_status,
        ..status.clone()
    });
    file
}

/// What we have said so far: what a server-side apply leaves out is removed.
fn ours(snapshot: &Snapshot) -> SnapshotStatus {
    let before = snapshot.status.clone().unwrap_or_default();
    let is_ours = |condition: &Condition| condition.type_ == SNAPSHOT_METADATA_UPLOADED.type_;
    SnapshotStatus {
        components: before.components,
        conditions: before.conditions.into_iter().filter(is_ours).collect(),
        ..SnapshotStatus::default()
    }
}

/// Sets what follows from the rest.
fn derive(snapshot: &Snapshot, status: &mut SnapshotStatus) {
    let before = snapshot.status.clone().unwrap_or_default();
    let conditions = &before.conditions;
    let others = conditions
        .iter()
        .filter(|known| !condition::has(&status.conditions, &known.type_));
    let whole = SnapshotStatus {
        conditions: status.conditions.iter().chain(others).cloned().collect(),
        total_components: before.total_components,
        components: status.components.clone(),
        ..SnapshotStatus::default()
    };
    // The operator ends a Snapshot that failed, not we.
    status.phase = Some(match phase::snapshot(&whole) {
        SnapshotPhase::Failed => SnapshotPhase::Running,
        phase => phase,
    });
    if is_complete(snapshot, status) {
        status.integrity = phase::snapshot_integrity(&status.components);
        status.size = phase::snapshot_size(&status.components);
        status.snapshot_time = before
            .snapshot_time
            .or_else(|| snapshot.metadata.creation_timestamp.clone());
    }
}

/// Times in Kubernetes objects are whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PATH: &str = "repository/v1/frequent-backup/dump";

    fn snapshot(status: Value) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {
                "name": "s", "namespace": "demo", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2024-09-19T10:30:56Z", "managedFields": [{"manager": "m"}],
            },
            "spec": {"session": "frequent-backup"}, "status": status,
        }))
        .unwrap()
    }

    fn pending(total: i32) -> Snapshot {
        snapshot(json!({"phase": "Pending", "totalComponents": total}))
    }

    fn at(second: &str) -> Timestamp {
        second.parse().unwrap()
    }

    fn dump_in(examined: Examined) -> Component {
        let stored = Stored {
            id: "8f2b".into(),
            size: 3_932_160,
            uploaded: Some(3_933_209),
            started: Some(at("2024-09-19T10:30:57.25Z")),
            finished: Some(at("2024-09-19T10:31:05.75Z")),
            examined: None,
            databases: vec!["druid".into()],
            remarks: Remarks::default(),
        };
        let duration = Duration::from_nanos(9_614_587_405);
        component(PATH, "dumpfile.sql", &stored, &examined, duration)
    }

    fn dump() -> Component {
        let mut examined = Examined::default();
        examined.stats.total_size = 690_193;
        dump_in(examined)
    }

    #[test]
    fn what_is_damaged_is_reported_and_a_snapshot_of_its_own_that_is_not_whole_has_no_integrity() {
        let damaged = |id: &str| kubestash_engine::DamagedSnapshot {
            id: id.to_owned(),
            reason: "2 of its chunks\nare lost".to_owned(),
        };
        let examined = |id: &str| Examined {
            read_since: Some(at("2024-09-12T10:30:57.25Z")),
            damage: vec!["a pack is missing".to_owned(); 12],
            damaged_snapshots: vec![damaged(id)],
            ..Examined::default()
        };
        let other = dump_in(examined("0a0a"));
        assert_eq!(other.integrity, Some(true));
        assert_eq!(other.damaged_snapshots[0].id, "0a0a");
        assert_eq!(
            other.damaged_snapshots[0].reason,
            "2 of its chunks are lost"
        );
        assert_eq!(other.damage.last().unwrap(), "and 2 more");
        assert_eq!(
            other.data_read_since,
            Some(Time(at("2024-09-12T10:30:57Z")))
        );
        assert_eq!(dump_in(examined("8f2b")).integrity, Some(false));
        let recovered = dump_in(Examined {
            damaged_snapshots: Vec::new(),
            ..examined("8f2b")
        });
        let last = recovered.damage.last().unwrap();
        assert!(last.starts_with("nothing is lost"), "{last}");
    }

    #[test]
    fn a_component_is_written_as_the_tutorial_shows_it() {
        let written = serde_json::to_value(dump()).unwrap();
        let tutorial = json!({
            // Ours; the tutorial shows nothing of the kind.
            "databases": ["druid"],
            "driver": "Restic",
            "duration": "9.614587405s",
            "integrity": true,
            "path": "repository/v1/frequent-backup/dump",
            "phase": "Succeeded",
            "resticStats": [{
                "hostPath": "dumpfile.sql", "id": "8f2b", "size": "3.750 MiB", "uploaded": "3.751 MiB",
                "summary": {
                    "hostPath": "dumpfile.sql", "id": "8f2b", "size": "3.750 MiB", "uploaded": "3.751 MiB",
                    "startTime": "2024-09-19T10:30:57Z", "endTime": "2024-09-19T10:31:05Z",
                },
            }],
            "size": "674.017 KiB",
        });
        assert_eq!(written, tutorial);
    }

    #[test]
    fn a_snapshot_succeeds_only_with_its_upload() {
        let snapshot = pending(1);
        let status = stored(&snapshot, "dump", dump());
        assert!(is_complete(&snapshot, &status));
        assert_eq!(status.phase, Some(SnapshotPhase::Running));
        assert_eq!(status.size.as_deref(), Some("674.017 KiB"));
        assert_eq!(status.integrity, Some(true));
        assert_eq!(status.snapshot_time, snapshot.metadata.creation_timestamp);

        let done = published(&snapshot, status, at("2024-09-19T10:31:06.5Z"));
        assert_eq!(done.phase, Some(SnapshotPhase::Succeeded));
        assert_eq!(
            serde_json::to_value(&done.conditions).unwrap(),
            json!([{
                "type": "SnapshotMetadataUploaded", "status": "True",
                "reason": "SuccessfullyUploadedSnapshotMetadata",
                "message": "Metadata uploaded to backend successfully",
                "lastTransitionTime": "2024-09-19T10:31:06Z",
            }])
        );
    }

    #[test]
    fn a_failed_attempt_leaves_its_reason_and_a_running_phase() {
        let snapshot = pending(1);
        let failure = Failure::transient("DatabaseUnreachable", "failed to reach it");
        let status = attempt(&snapshot, "dump", PATH, Err(&failure));
        assert_eq!(status.phase, Some(SnapshotPhase::Running));
        let written = serde_json::to_value(&status.components["dump"]).unwrap();
        let expected = json!({"driver": "Restic", "path": PATH, "phase": "Running", "error": "failed to reach it"});
        assert_eq!(written, expected);
        // The next attempt takes the reason away.
        let status = attempt(&snapshot, "dump", PATH, Ok(&Remarks::default()));
        assert_eq!(status.components["dump"].error, None);
    }

    #[test]
    fn what_is_known_of_a_dump_stands_there_while_it_is_made_and_an_attempt_that_adopts_it_finds_it()
     {
        let remarks = Remarks {
            left_out: vec!["users".into()],
            warnings: vec!["line\nbreak".into()],
        };
        let mut snapshot = pending(1);
        let status = attempt(&snapshot, "dump", PATH, Ok(&remarks));
        let written = serde_json::to_value(&status.components["dump"]).unwrap();
        assert_eq!(written["leftOut"], json!(["users"]));
        assert_eq!(written["warnings"], json!(["line break"]));
        snapshot.status = Some(status);
        let recorded = Remarks::recorded(&snapshot, "dump");
        assert_eq!(recorded.left_out, remarks.left_out);
        assert_eq!(Remarks::recorded(&snapshot, "manifest"), Remarks::default());
    }

    #[test]
    fn components_of_other_tasks_and_conditions_of_others_are_respected() {
        let snapshot = snapshot(json!({
            "phase": "Running", "totalComponents": 2,
            "components": {"manifest": {"phase": "Succeeded", "size": "12.127 KiB", "integrity": true}},
            "conditions": [{"type": "RecentSnapshotListUpdated", "status": "True", "lastTransitionTime": "2024-09-19T10:31:06Z"}],
        }));
        let running = attempt(&snapshot, "dump", PATH, Ok(&Remarks::default()));
        assert_eq!(running.components.len(), 2);
        assert!(!is_complete(&snapshot, &running));
        assert_eq!(
            (running.size.clone(), running.snapshot_time.clone()),
            (None, None)
        );
        let status = stored(&snapshot, "dump", dump());
        assert!(is_complete(&snapshot, &status));
        assert!(status.conditions.is_empty());
        assert_eq!(status.size.as_deref(), Some("686.144 KiB"));

        let first_of_two = stored(&pending(2), "dump", dump());
        assert!(!is_complete(&pending(2), &first_of_two));
        assert_eq!(first_of_two.phase, Some(SnapshotPhase::Running));
    }

    #[test]
    fn the_file_beside_the_data_says_what_the_object_will_say() {
        let snapshot = pending(1);
        let status = stored(&snapshot, "dump", dump());
        let status = published(&snapshot, status, at("2024-09-19T10:31:06Z"));
        let file = file_of(&snapshot, &status);
        assert_eq!(file.metadata.resource_version, None);
        assert_eq!(file.metadata.managed_fields, None);
        let written = file.status.unwrap();
        assert_eq!(written.phase, Some(SnapshotPhase::Succeeded));
        assert_eq!(written.total_components, Some(1));
        assert_eq!(written.components, status.components);
    }
}
