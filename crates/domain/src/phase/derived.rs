//! What follows from a Snapshot's components, and from a Repository's Snapshots: integrity and
//! size.
//!
//! Invariant: a value is only given when it is known of every part; a sum over some of the parts
//! would look like less data than there is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubestash_api::storage::{Component, Snapshot};

use super::damage;
use crate::format;

/// Whether a Snapshot's data was intact: all components that were checked were. Nothing if none was
/// checked, or if one that restic stored is still unchecked.
#[must_use]
pub fn snapshot_integrity(components: &BTreeMap<String, Component>) -> Option<bool> {
    let unchecked =
        |component: &Component| !component.restic_stats.is_empty() && component.integrity.is_none();
    if components.values().any(unchecked) {
        return None;
    }
    components
        .values()
        .filter_map(|component| component.integrity)
        .reduce(|all, one| all && one)
}

/// Size of a Snapshot's stored data in bytes. Nothing if no component has a size, if one has an
/// unreadable size, or if one that restic stored has none yet.
///
/// Mended: a component with several paths counts once.
#[must_use]
pub fn snapshot_bytes(components: &BTreeMap<String, Component>) -> Option<u64> {
    let mut sum = None;
    for component in components.values() {
        match component.size.as_deref().unwrap_or_default() {
            "" if component.restic_stats.is_empty() => {}
            "" => return None,
            size => {
                sum = Some(
                    sum.unwrap_or(0_u64)
                        .saturating_add(format::parse_bytes(size).ok()?),
                )
            }
        }
    }
    sum
}

/// Size of a Snapshot's stored data, as in `12.222 MiB`; see [`snapshot_bytes`].
#[must_use]
pub fn snapshot_size(components: &BTreeMap<String, Component>) -> Option<String> {
    snapshot_bytes(components).map(format::bytes)
}

/// Size of a component's stored data in bytes, if it has one that can be read.
#[must_use]
pub fn component_bytes(component: &Component) -> Option<u64> {
    format::parse_bytes(component.size.as_deref()?).ok()
}

/// What is in a Repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryContent {
    /// Directories of the components, sorted.
    pub component_paths: Vec<String>,
    /// Whether the last check of every directory found the data of all Snapshots in it intact;
    /// nothing if none was checked.
    pub integrity: Option<bool>,
    /// What is damaged: one sentence for each Snapshot.
    pub damage: Vec<String>,
    /// All data was read at or after this time; nothing if some of it has not been read yet.
    pub read_since: Option<Timestamp>,
    /// Size of the stored data in bytes; nothing if no size is known.
    pub bytes: Option<u64>,
}

/// What is in a Repository, from its Snapshots in any order.
///
/// A component's size is that of its whole directory after the run, so the newest Snapshot that
/// knows about a directory tells its size; sizes of several Snapshots must not be added up. The
/// same goes for integrity.
#[must_use]
pub fn repository_content(snapshots: &[Snapshot]) -> RepositoryContent {
    let mut newest_first: Vec<&Snapshot> = snapshots.iter().collect();
    newest_first.sort_by(|one, other| time(other).cmp(&time(one)));
    let mut paths = BTreeSet::new();
    let mut bytes = BTreeMap::new();
    let mut reports: BTreeMap<&str, &Component> = BTreeMap::new();
    let mut damage = Vec::new();
    for snapshot in newest_first {
        for component in components(snapshot) {
            let Some(path) = component.path.as_deref() else {
                continue;
            };
            paths.insert(path.to_owned());
            if let Some(size) = component_bytes(component) {
                bytes.entry(path).or_insert(size);
            }
            if component.integrity.is_some() {
                reports.entry(path).or_insert(component);
            }
            let Some(report) = reports.get(path) else {
                continue;
            };
            if let Some(reason) = damage::damage(component, report) {
                let name = snapshot.metadata.name.as_deref().unwrap_or_default();
                damage.push(format!("Snapshot {name}: {reason}"));
            }
        }
    }
    let checks = reports.values().filter_map(|report| report.integrity);
    let intact = checks.reduce(|all, one| all && one);
    let read = reports
        .values()
        .map(|report| report.data_read_since.as_ref().map(|time| time.0));
    RepositoryContent {
        component_paths: paths.into_iter().collect(),
        integrity: intact.map(|intact| intact && damage.is_empty()),
        bytes: bytes.into_values().reduce(u64::saturating_add),
        read_since: read.reduce(Ord::min).flatten(),
        damage,
    }
}

fn components(snapshot: &Snapshot) -> impl Iterator<Item = &Component> {
    snapshot
        .status
        .iter()
        .flat_map(|status| status.components.values())
}

/// When a Snapshot was made. Objects are created in the order of their runs, so the creation
/// decides between equals.
pub(super) fn time(snapshot: &Snapshot) -> (Option<&Time>, Option<&Time>) {
    let made = snapshot
        .status
        .as_ref()
        .and_then(|status| status.snapshot_time.as_ref());
    let created = snapshot.metadata.creation_timestamp.as_ref();
    (made.or(created), created)
}

#[cfg(test)]
mod tests {
    use kubestash_api::storage::{DamagedSnapshot, ResticStats, SnapshotStatus};

    use super::*;

    fn component(size: &str, integrity: Option<bool>, paths: usize) -> Component {
        Component {
            size: (!size.is_empty()).then(|| size.to_owned()),
            integrity,
            restic_stats: vec![ResticStats::default(); paths],
            ..Component::default()
        }
    }

    fn named(components: Vec<Component>) -> BTreeMap<String, Component> {
        components
            .into_iter()
            .enumerate()
            .map(|(index, component)| (index.to_string(), component))
            .collect()
    }

    #[test]
    fn integrity_is_known_when_everything_was_checked() {
        for (checks, expected) in [
            (&[][..], None),
            (&[(None, 0)], None),
            (&[(None, 1)], None),
            (&[(Some(true), 1)], Some(true)),
            (&[(Some(true), 1), (None, 0)], Some(true)),
            (&[(Some(true), 1), (None, 1)], None),
            (&[(Some(false), 1), (None, 1)], None),
            (&[(Some(true), 1), (Some(false), 1)], Some(false)),
            (&[(Some(true), 0), (Some(true), 2)], Some(true)),
        ] {
            let components = named(
                checks
                    .iter()
                    .map(|(integrity, paths)| component("", *integrity, *paths))
                    .collect(),
            );
            assert_eq!(snapshot_integrity(&components), expected, "{checks:?}");
        }
    }

    #[test]
    fn sizes_of_components_add_up() {
        for (sizes, expected) in [
            (&[][..], None),
            (
                &[("652.853 KiB", 1), ("12.127 KiB", 1)],
                Some("664.979 KiB"),
            ),
            (
                &[("10.242 MiB", 1), ("1.979 MiB", 1), ("809 B", 1)],
                Some("12.222 MiB"),
            ),
            (&[("806 B", 3)], Some("806 B")),
            (&[("806 B", 1), ("", 0)], Some("806 B")),
            (&[("806 B", 1), ("", 1)], None),
            (&[("", 0)], None),
            (&[("806", 1)], None),
            (&[("806 B", 1), ("8 PiB", 1)], None),
        ] {
            let components = named(
                sizes
                    .iter()
                    .map(|(size, paths)| component(size, None, *paths))
                    .collect(),
            );
            assert_eq!(snapshot_size(&components).as_deref(), expected, "{sizes:?}");
        }
    }

    fn snapshot(second: i64, components: Vec<(&str, Component)>) -> Snapshot {
        let components = components
            .into_iter()
            .map(|(path, component)| {
                (
                    path.to_owned(),
                    Component {
                        path: Some(path.to_owned()),
                        ..component
                    },
                )
            })
            .collect();
        let mut snapshot = Snapshot::new("s", Default::default());
        snapshot.status = Some(SnapshotStatus {
            components,
            snapshot_time: Some(Time(Timestamp::from_second(second).unwrap())),
            ..SnapshotStatus::default()
        });
        snapshot
    }

    #[test]
    fn a_repository_is_as_large_as_the_last_state_of_its_directories() {
        let snapshots = [
            snapshot(2, vec![("dump", component("3.000 KiB", Some(true), 1))]),
            snapshot(3, vec![("dump", component("", None, 0))]),
            snapshot(
                1,
                vec![
                    ("dump", component("2.000 KiB", Some(false), 1)),
                    ("manifest", component("512 B", Some(true), 1)),
                ],
            ),
        ];
        assert_eq!(
            repository_content(&snapshots),
            RepositoryContent {
                component_paths: vec!["dump".to_owned(), "manifest".to_owned()],
                integrity: Some(true),
                bytes: Some(3 * 1024 + 512),
                ..RepositoryContent::default()
            }
        );
        assert_eq!(repository_content(&snapshots[2..]).integrity, Some(false));
        assert_eq!(repository_content(&[]), RepositoryContent::default());
    }

    #[test]
    fn a_repository_is_intact_when_the_last_look_found_every_snapshot_of_it_intact() {
        let with_id = |id: &str, damaged: &[&str], read: Option<i64>| Component {
            restic_stats: serde_json::from_value(serde_json::json!([{ "id": id }])).unwrap(),
            integrity: Some(true),
            data_read_since: read.map(|second| Time(Timestamp::from_second(second).unwrap())),
            damaged_snapshots: damaged
                .iter()
                .map(|id| DamagedSnapshot {
                    id: (*id).to_owned(),
                    reason: "1 of its chunks are lost".to_owned(),
                })
                .collect(),
            ..Component::default()
        };
        let old = snapshot(1, vec![("dump", with_id("a", &[], Some(5)))]);
        let look = snapshot(2, vec![("dump", with_id("b", &["a", "foreign"], Some(7)))]);
        let content = repository_content(&[old.clone(), look.clone()]);
        assert_eq!(content.integrity, Some(false));
        assert_eq!(content.damage, ["Snapshot s: 1 of its chunks are lost"]);
        assert_eq!(content.read_since.map(Timestamp::as_second), Some(7));
        // The damaged one went, or its data was stored again.
        assert_eq!(
            repository_content(std::slice::from_ref(&look)).integrity,
            Some(true)
        );
        let healed = snapshot(3, vec![("dump", with_id("c", &[], None))]);
        let content = repository_content(&[old, look, healed]);
        assert_eq!((content.integrity, content.read_since), (Some(true), None));
    }
}
