//! What the server knows: every object and, for each resource, the last changes.
//!
//! Invariant: the log of a resource holds every change with a revision above its `horizon`, in
//! order; a watch from a revision below the horizon must start over (410).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::key::{GroupResource, Key, ObjectName};
use super::object::Object;
use super::watcher::Expired;

/// At most so many changes are kept of each resource…
const MAX_CHANGES: usize = 4096;
/// …of at most so many bytes…
const MAX_BYTES: usize = 6 * 1024 * 1024;
/// …and not longer than this: the time that Kubernetes' own server keeps them at least.
const MAX_AGE: Duration = Duration::from_secs(75);

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// It is new.
    Created,
    /// It has a new version.
    Updated,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The new version; for a deletion the last state, at the revision of the deletion.
    pub object: Arc<Object>,
    /// The version before, absent for a creation.
    pub previous: Option<Arc<Object>>,
    at: Instant,
}

impl Change {
    pub(super) fn new(
        kind: ChangeKind,
        object: Arc<Object>,
        previous: Option<Arc<Object>>,
    ) -> Self {
        Self {
            kind,
            object,
            previous,
            at: Instant::now(),
        }
    }

    fn size(&self) -> usize {
        // The previous version of an update is shared with the entry that made it, but that one may
        // be gone already; counting both keeps the bound honest.
        self.object.size() + self.previous.as_ref().map_or(0, |object| object.size())
    }
}

/// The objects and the change log of one resource.
pub(super) struct ResourceState {
    pub(super) objects: BTreeMap<ObjectName, Arc<Object>>,
    log: VecDeque<Change>,
    log_bytes: usize,
    pub(super) horizon: u64,
    last_change: watch::Sender<u64>,
}

impl ResourceState {
    fn new(horizon: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            log_bytes: 0,
            horizon,
            last_change: watch::Sender::new(horizon),
        }
    }

    fn record(&mut self, change: Change) {
        let now = change.at;
        self.log_bytes += change.size();
        self.log.push_back(change);
        while self.log.len() > 1 && (self.log.len() > MAX_CHANGES || self.log_bytes > MAX_BYTES) {
            self.drop_oldest();
        }
        self.trim(now);
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.log.pop_front() {
            self.log_bytes -= oldest.size();
            self.horizon = oldest.object.revision;
        }
    }

    /// Drops the changes that are too old at `now`; returns when the oldest of the others will be.
    fn trim(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let end = self.log.front()?.at + MAX_AGE;
            if end > now {
                return Some(end);
            }
            self.drop_oldest();
        }
    }

    /// The changes above `revision`, oldest first; the caller has checked the horizon.
    pub(super) fn changes_after(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let start = self
            .log
            .partition_point(|change| change.object.revision <= revision);
        self.log.range(start..)
    }

    pub(super) fn last_change(&self) -> u64 {
        *self.last_change.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.last_change.subscribe()
    }

    /// The objects of one namespace, or all when it is `None`.
    pub(super) fn in_namespace(&self, namespace: Option<&str>) -> Vec<Arc<Object>> {
        match namespace {
            None => self.objects.values().cloned().collect(),
            Some(namespace) => {
                let start = ObjectName {
                    namespace: namespace.into(),
                    name: "".into(),
                };
                self.objects
                    .range(start..)
                    .take_while(|(name, _)| &*name.namespace == namespace)
                    .map(|(_, object)| object.clone())
                    .collect()
            }
        }
    }
}

impl ResourceState {
    /// The objects as they were at `revision`: the present ones, with all later changes undone.
    pub(super) fn at(
        &self,
        revision: u64,
        namespace: Option<&str>,
    ) -> Result<Vec<Arc<Object>>, Expired> {
        if revision < self.horizon {
            return Err(Expired {
                position: revision,
                oldest: self.horizon,
            });
        }
        let mut undone: BTreeMap<ObjectName, Option<Arc<Object>>> = BTreeMap::new();
        for change in self.changes_after(revision) {
            // Of several changes the first one after `revision` knows what stood there.
            undone
                .entry(change.object.key.object.clone())
                .or_insert_with(|| change.previous.clone());
        }
        let present = self.in_namespace(namespace);
        if undone.is_empty() {
            return Ok(present);
        }
        let mut objects: BTreeMap<ObjectName, Arc<Object>> = present
            .into_iter()
            .filter(|object| !undone.contains_key(&object.key.object))
            .map(|object| (object.key.object.clone(), object))
            .collect();
        let before = undone
            .into_iter()
            .filter(|(name, _)| namespace.is_none_or(|namespace| namespace == &*name.namespace));
        objects.extend(before.filter_map(|(name, object)| Some((name, object?))));
        Ok(objects.into_values().collect())
    }
}

/// All resources, and the revision of the newest change.
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) started_at: u64,
    pub(super) resources: HashMap<GroupResource, ResourceState>,
}

impl State {
    /// The state after a start: no change before `revision` can be replayed.
    pub(super) fn new(revision: u64, objects: Vec<Object>) -> Self {
        let mut state = Self {
            revision,
            started_at: revision,
            resources: HashMap::new(),
        };
        for object in objects {
            let name = object.key.object.clone();
            let resource = object.key.resource.clone();
            state
                .resource_mut(&resource)
                .objects
                .insert(name, Arc::new(object));
        }
        state
    }

    pub(super) fn resource_mut(&mut self, resource: &GroupResource) -> &mut ResourceState {
        let started_at = self.started_at;
        self.resources
            .entry(resource.clone())
            .or_insert_with(|| ResourceState::new(started_at))
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.resources.get(&key.resource)?.objects.get(&key.object)
    }

    /// Drops the changes that are too old at `now`; returns when the oldest of the others will be.
    pub(super) fn trim(&mut self, now: Instant) -> Option<Instant> {
        let resources = self.resources.values_mut();
        let ends: Vec<Instant> = resources
            .filter_map(|resource| {
                let end = resource.trim(now);
                if end.is_none() {
                    resource.log.shrink_to_fit();
                }
                end
            })
            .collect();
        ends.into_iter().min()
    }

    /// Makes committed changes visible.
    pub(super) fn apply(&mut self, revision: u64, changes: &[Change]) {
        self.revision = revision;
        let mut touched: Vec<GroupResource> = Vec::new();
        for change in changes {
            let key = &change.object.key;
            let resource = self.resource_mut(&key.resource);
            match change.kind {
                ChangeKind::Deleted => drop(resource.objects.remove(&key.object)),
                ChangeKind::Created | ChangeKind::Updated => drop(
                    resource
                        .objects
                        .insert(key.object.clone(), change.object.clone()),
                ),
            }
            resource.record(change.clone());
            if !touched.contains(&key.resource) {
                touched.push(key.resource.clone());
            }
        }
        for resource in touched {
            self.resource_mut(&resource)
                .last_change
                .send_replace(revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(kind: ChangeKind, name: &str, revision: u64, filler: usize) -> Change {
        let key = Key::new(&GroupResource::new("", "configmaps"), "demo", name);
        let value = json!({"metadata": {"name": name}, "data": {"x": "x".repeat(filler)}});
        Change::new(
            kind,
            Arc::new(Object::new(key, revision, value).unwrap()),
            None,
        )
    }

    #[test]
    fn the_log_replays_every_change_above_the_horizon() {
        let mut state = State::new(10, Vec::new());
        for revision in 11..=20 {
            state.apply(
                revision,
                &[change(
                    ChangeKind::Created,
                    &format!("c{revision}"),
                    revision,
                    1,
                )],
            );
        }
        let resource = state.resource_mut(&GroupResource::new("", "configmaps"));
        assert_eq!(resource.horizon, 10);
        let seen: Vec<u64> = resource
            .changes_after(15)
            .map(|c| c.object.revision)
            .collect();
        assert_eq!(seen, [16, 17, 18, 19, 20]);
    }

    #[test]
    fn a_past_version_is_listed_as_it_was() {
        let names = |objects: Vec<Arc<Object>>| -> Vec<(String, u64)> {
            objects
                .iter()
                .map(|object| (object.key.name().to_owned(), object.revision))
                .collect()
        };
        let mut state = State::new(0, Vec::new());
        let resource = GroupResource::new("", "configmaps");
        let mut versions = vec![Vec::new()];
        let steps = [
            (ChangeKind::Created, "b"),
            (ChangeKind::Created, "a"),
            (ChangeKind::Updated, "b"),
            (ChangeKind::Deleted, "a"),
            (ChangeKind::Created, "c"),
            (ChangeKind::Deleted, "b"),
            (ChangeKind::Created, "a"),
        ];
        for (index, (kind, name)) in steps.into_iter().enumerate() {
            let revision = index as u64 + 1;
            let mut change = change(kind, name, revision, 1);
            change.previous = state.get(&change.object.key).cloned();
            state.apply(revision, &[change]);
            versions.push(names(state.resource_mut(&resource).in_namespace(None)));
        }
        for (revision, expected) in versions.into_iter().enumerate() {
            let past = state
                .resource_mut(&resource)
                .at(revision as u64, Some("demo"));
            assert_eq!(names(past.unwrap()), expected, "at {revision}");
        }
        state.trim(Instant::now() + MAX_AGE);
        let resource = state.resource_mut(&resource);
        assert!(resource.at(6, None).is_err());
        assert_eq!(
            names(resource.at(7, None).unwrap()),
            [("a".to_owned(), 7), ("c".to_owned(), 5)]
        );
    }

    #[test]
    fn the_log_is_bounded_in_bytes_and_moves_its_horizon() {
        let mut state = State::new(0, Vec::new());
        for revision in 1..=10 {
            state.apply(
                revision,
                &[change(ChangeKind::Updated, "c", revision, 1024 * 1024)],
            );
        }
        let resource = state.resource_mut(&GroupResource::new("", "configmaps"));
        assert!(resource.log_bytes <= MAX_BYTES);
        assert!(resource.horizon >= 4);
        let horizon = resource.horizon;
        let first = resource
            .changes_after(horizon)
            .next()
            .unwrap()
            .object
            .revision;
        assert_eq!(first, horizon + 1);
    }

    #[test]
    fn changes_go_when_they_are_old_and_whoever_has_seen_the_last_one_can_go_on() {
        let mut state = State::new(0, Vec::new());
        for (revision, name) in [(1, "a"), (2, "b")] {
            let change = change(ChangeKind::Created, name, revision, 1);
            state.apply(revision, &[change]);
        }
        let now = Instant::now();
        let next = state.trim(now).unwrap();
        assert!(next > now && next <= now + MAX_AGE);
        assert_eq!(state.trim(now + MAX_AGE), None);
        let resource = state.resource_mut(&GroupResource::new("", "configmaps"));
        assert_eq!((resource.horizon, resource.log_bytes), (2, 0));
        assert_eq!(resource.changes_after(2).count(), 0);
        assert_eq!(resource.objects.len(), 2);
    }

    #[test]
    fn a_namespace_is_listed_without_its_neighbours() {
        let mut state = State::new(0, Vec::new());
        let resource = GroupResource::new("", "configmaps");
        for (revision, (namespace, name)) in [("a", "x"), ("ab", "y"), ("a", "z"), ("b", "w")]
            .into_iter()
            .enumerate()
        {
            let key = Key::new(&resource, namespace, name);
            let object = Object::new(key, revision as u64 + 1, json!({"metadata": {}})).unwrap();
            state.apply(
                revision as u64 + 1,
                &[Change::new(ChangeKind::Created, Arc::new(object), None)],
            );
        }
        let names: Vec<String> = state
            .resource_mut(&resource)
            .in_namespace(Some("a"))
            .iter()
            .map(|o| o.key.name().to_owned())
            .collect();
        assert_eq!(names, ["x", "z"]);
    }
}
