//! What an attempt of a backup has to do for each repository: pure.
//!
//! An attempt may be the first, or come after one that was killed at any moment. What is already
//! there says how far the earlier one came:
//!
//! ```text
//!   the Snapshot says that the component and the upload succeeded   → nothing
//!   the component succeeded, the upload is not recorded             → publish
//!   the repository holds a restic snapshot tagged with our uid      → adopt it, then publish
//!   nothing                                                         → dump
//! ```
//! A restic snapshot is written last of all data, so one that is there is complete.

use kube::ResourceExt;
use kubestash_api::conditions::snapshot::SNAPSHOT_METADATA_UPLOADED;
use kubestash_api::shared::ConditionStatus;
use kubestash_api::storage::{Snapshot, SnapshotPhase};
use kubestash_engine::{Made, SnapshotInfo};

/// What is left to do for one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// All is done and recorded.
    Nothing,
    /// The component is recorded; the upload of the Snapshot is not.
    Publish,
    /// The data is there and not recorded.
    Adopt {
        /// Id of the restic snapshot.
        id: String,
        /// What making it took, if it says so.
        made: Option<Made>,
        /// The databases in it, if it says so.
        databases: Vec<String>,
        /// Ids of others with the same tag, which nobody needs.
        surplus: Vec<String>,
    },
    /// The data is not there.
    Dump,
}

/// Tag of the restic snapshot that belongs to a Snapshot object. The uid keeps clusters apart that
/// write into one bucket.
pub fn uid_tag(uid: &str) -> String {
    format!("snapshot-uid={uid}")
}

/// Tag of a restic snapshot of a server that held no database.
const EMPTY: &str = "databases=none";
/// Beginning of the tag that holds a single database, whose name a restore needs.
const SINGLE: &str = "database=";
/// Beginning of the tag with the databases in a dump that names them itself: a JSON array, for a
/// name may hold any character.
const SEVERAL: &str = "databases=";

/// What is said of the databases in a dump by a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing: the dump says itself what it holds.
    Told,
    /// One database, whose name is not in the dump.
    Single(String),
    /// Databases that the dump itself names.
    Several(Vec<String>),
    /// The server held none.
    Empty,
}

impl Content {
    /// The databases, as far as there is something to say of them.
    pub(super) fn databases(&self) -> Vec<String> {
        match self {
            Self::Told | Self::Empty => Vec::new(),
            Self::Single(name) => vec![name.clone()],
            Self::Several(names) => names.clone(),
        }
    }
}

/// The databases that the tags of a restic snapshot name.
fn databases(tags: &[String]) -> Vec<String> {
    let single = |tag: &String| Some(vec![tag.strip_prefix(SINGLE)?.to_owned()]);
    let several = |tag: &String| serde_json::from_str(tag.strip_prefix(SEVERAL)?).ok();
    tags.iter()
        .find_map(|tag| single(tag).or_else(|| several(tag)))
        .unwrap_or_default()
}

/// Whether a repository holds a dump of a server that had a database.
pub(super) fn holds_databases(existing: &[SnapshotInfo]) -> bool {
    let is_empty = |info: &SnapshotInfo| info.tags.iter().any(|tag| tag == EMPTY);
    !existing.iter().all(is_empty)
}

/// All tags of a restic snapshot: name and uid of its Snapshot, and what there is to say of its
/// content.
pub(super) fn tags(snapshot: &Snapshot, content: &Content) -> Vec<String> {
    let mut tags = vec![
        format!("snapshot={}", snapshot.name_any()),
        uid_tag(&snapshot.uid().unwrap_or_default()),
    ];
    match content {
        Content::Told => {}
        Content::Single(database) => tags.push(format!("{SINGLE}{database}")),
        Content::Several(names) => {
            tags.push(format!("{SEVERAL}{}", serde_json::json!(names)));
        }
        Content::Empty => tags.push(EMPTY.to_owned()),
    }
    tags
}

/// What the Snapshot object alone says: none if the repository has to be looked into.
pub(super) fn recorded(snapshot: &Snapshot, component: &str) -> Option<Todo> {
    let status = snapshot.status.as_ref()?;
    let component = status.components.get(component)?;
    if component.phase != Some(SnapshotPhase::Succeeded) {
        return None;
    }
    let uploaded = status.conditions.iter().any(|condition| {
        condition.type_ == SNAPSHOT_METADATA_UPLOADED.type_
            && condition.status == ConditionStatus::True
    });
    let complete = status.phase == Some(SnapshotPhase::Succeeded);
    Some(if uploaded && complete {
        Todo::Nothing
    } else {
        Todo::Publish
    })
}

/// What the repository says: `existing` are its restic snapshots, oldest first.
pub(super) fn stored(snapshot: &Snapshot, existing: &[SnapshotInfo]) -> Todo {
    let Some(uid) = snapshot.uid() else {
        return Todo::Dump;
    };
    let tag = uid_tag(&uid);
    let mut ours: Vec<&SnapshotInfo> = existing
        .iter()
        .filter(|info| info.tags.contains(&tag))
        .collect();
    match ours.pop() {
        Some(newest) => Todo::Adopt {
            id: newest.id.clone(),
            made: newest.made,
            databases: databases(&newest.tags),
            surplus: ours.iter().map(|info| info.id.clone()).collect(),
        },
        None => Todo::Dump,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(status: Value) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s", "namespace": "demo", "uid": "u-1"}, "spec": {}, "status": status,
        }))
        .unwrap()
    }

    fn restic(id: &str, tags: &[String]) -> SnapshotInfo {
        SnapshotInfo {
            id: id.to_owned(),
            time: Timestamp::UNIX_EPOCH,
            host: "host-0".to_owned(),
            paths: vec!["/dumpfile.sql".to_owned()],
            tags: tags.to_vec(),
            made: (id == "b").then_some(MADE),
        }
    }

    const MADE: Made = Made {
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::UNIX_EPOCH,
        data_added: 7,
    };

    #[test]
    fn the_object_says_how_far_the_last_attempt_came() {
        let uploaded = |status: &str| {
            json!([{"type": "SnapshotMetadataUploaded", "status": status,
            "lastTransitionTime": "2024-09-19T10:30:56Z"}])
        };
        let cases = [
            (json!(null), None),
            (json!({"phase": "Pending", "totalComponents": 1}), None),
            (
                json!({"components": {"dump": {"phase": "Running", "error": "x"}}}),
                None,
            ),
            (
                json!({"components": {"manifest": {"phase": "Succeeded"}}}),
                None,
            ),
            (
                json!({"components": {"dump": {"phase": "Succeeded"}}, "phase": "Running"}),
                Some(Todo::Publish),
            ),
            (
                json!({"components": {"dump": {"phase": "Succeeded"}}, "phase": "Running",
                    "conditions": uploaded("False")}),
                Some(Todo::Publish),
            ),
            (
                json!({"components": {"dump": {"phase": "Succeeded"}}, "phase": "Succeeded",
                    "conditions": uploaded("True")}),
                Some(Todo::Nothing),
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(
                recorded(&snapshot(status.clone()), "dump"),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn only_data_of_this_very_snapshot_is_adopted() {
        let ours = snapshot(json!(null));
        let mut namesake = ours.clone();
        namesake.metadata.uid = Some("u-2".to_owned());
        let existing = [
            restic("a", &tags(&namesake, &Content::Told)),
            restic("b", &tags(&ours, &single())),
            restic("c", &[]),
            restic("d", &tags(&ours, &Content::Told)),
        ];
        assert_eq!(stored(&ours, &existing[..1]), Todo::Dump);
        let one = Todo::Adopt {
            id: "b".into(),
            made: Some(MADE),
            databases: vec!["druid".into()],
            surplus: vec![],
        };
        assert_eq!(stored(&ours, &existing[..3]), one);
        let two = Todo::Adopt {
            id: "d".into(),
            made: None,
            databases: vec![],
            surplus: vec!["b".into()],
        };
        assert_eq!(stored(&ours, &existing), two);
    }

    #[test]
    fn tags_name_the_snapshot_and_a_single_database() {
        let snapshot = snapshot(json!(null));
        assert_eq!(
            tags(&snapshot, &single()),
            ["snapshot=s", "snapshot-uid=u-1", "database=druid"]
        );
        assert_eq!(
            tags(&snapshot, &Content::Told),
            ["snapshot=s", "snapshot-uid=u-1"]
        );
    }

    #[test]
    fn what_the_tags_say_of_the_databases_is_read_back_whatever_they_are_called() {
        let snapshot = snapshot(json!(null));
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let cases = [
            Content::Single("none".to_owned()),
            Content::Single("[a,b]".to_owned()),
            Content::Several(names(&["none"])),
            Content::Several(names(&["a,b", "c \"d\"", "ü"])),
            Content::Told,
            Content::Empty,
        ];
        for content in cases {
            let tags = tags(&snapshot, &content);
            assert_eq!(databases(&tags), content.databases(), "{tags:?}");
            let empty = content == Content::Empty;
            assert_eq!(holds_databases(&[restic("a", &tags)]), !empty, "{tags:?}");
        }
    }

    #[test]
    fn a_repository_without_backups_or_with_empty_ones_alone_never_held_a_database() {
        let snapshot = snapshot(json!(null));
        let empty = restic("a", &tags(&snapshot, &Content::Empty));
        assert!(!holds_databases(&[]));
        assert!(!holds_databases(std::slice::from_ref(&empty)));
        for content in [Content::Told, single()] {
            let full = restic("b", &tags(&snapshot, &content));
            assert!(holds_databases(&[empty.clone(), full]));
        }
        assert!(holds_databases(&[restic("c", &[])]), "somebody else's");
    }

    fn single() -> Content {
        Content::Single("druid".to_owned())
    }
}
