//! What is in a repository, and which of its snapshots can still be restored as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::id::Id;
use super::index::{BlobIndex, BlobKind};
use super::open::Opened;
use super::snapshot::SnapshotFile;
use super::{files, inspect};
use crate::{DamagedSnapshot, EngineError, RepositoryStats};

/// Trees read at a time.
const READS: usize = 8;

/// What a look at all snapshots gave.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) stats: RepositoryStats,
    /// Snapshots that cannot be restored as a whole.
    pub(super) damaged: Vec<DamagedSnapshot>,
    /// All blobs that snapshots refer to; incomplete if one of them is damaged.
    pub(super) used: HashSet<(BlobKind, Id)>,
    /// Whether there may be blobs that are used and not among them, because a snapshot or tree
    /// cannot be read.
    pub(super) incomplete: bool,
    /// Blobs that the index does not name yet.
    added: HashSet<Id>,
}

/// What is known of a tree.
struct Seen {
    subtrees: Vec<Id>,
    /// Why a snapshot with this tree cannot be restored.
    damage: Option<String>,
}

/// Looks at all snapshots. `index` names what counts as stored; a backup that is about to be
/// finished has stored `added` as well.
pub(super) async fn survey(
    opened: &Arc<Opened>,
    index: &BlobIndex,
    added: HashSet<Id>,
) -> Result<Survey, EngineError> {
    let mut survey = Survey {
        added,
        ..Survey::default()
    };
    let mut snapshots: Vec<(Id, SnapshotFile)> = Vec::new();
    for (id, snapshot) in inspect::load_all(opened).await? {
        survey.stats.snapshot_count += 1;
        match snapshot {
            Ok(snapshot) => snapshots.push((id, snapshot)),
            Err(error) => {
                survey.incomplete = true;
                survey.damaged.push(DamagedSnapshot {
                    id: id.to_string(),
                    reason: format!("{}/{id} is damaged: {error}", files::SNAPSHOTS),
                });
            }
        }
    }
    let mut seen: HashMap<Id, Seen> = HashMap::new();
    let mut level: Vec<Id> = snapshots
        .iter()
        .map(|(_, snapshot)| snapshot.tree)
        .collect();
    while !level.is_empty() {
        let mut due: Vec<Id> = level
            .into_iter()
            .filter(|id| !seen.contains_key(id))
            .collect();
        // A tree that was just stored again is whole with all below it, as it is the new
        // snapshot's.
        due.retain(|id| index.contains(BlobKind::Tree, id) || !survey.added.contains(id));
        due.sort_unstable();
        due.dedup();
        level = Vec::new();
        let mut trees = stream::iter(due.into_iter().map(|id| async move {
            match opened.tree(index, &id).await {
                Err(error) if error.is_damage() => Ok((id, Err(error.to_string()))),
                tree => tree.map(|tree| (id, Ok(tree))),
            }
        }))
        .buffer_unordered(READS);
        while let Some((id, tree)) = trees.try_next().await? {
            survey.count(index, BlobKind::Tree, id);
            let mut facts = Seen {
                subtrees: Vec::new(),
                damage: None,
            };
            match tree {
                Err(reason) => {
                    survey.incomplete = true;
                    facts.damage = Some(reason);
                }
                Ok(tree) => {
                    let mut lost = 0_u64;
                    for node in tree.nodes {
                        for blob in node.content {
                            lost += u64::from(!survey.count(index, BlobKind::Data, blob));
                        }
                        facts.subtrees.extend(node.subtree);
                    }
                    if lost > 0 {
                        facts.damage = Some(format!("{lost} of its chunks are lost"));
                    }
                }
            }
            level.extend(facts.subtrees.iter().copied());
            seen.insert(id, facts);
        }
    }
    for (id, snapshot) in snapshots {
        if let Some(reason) = damage_below(&seen, snapshot.tree) {
            survey.damaged.push(DamagedSnapshot {
                id: id.to_string(),
                reason,
            });
        }
    }
    survey.damaged.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(survey)
}

impl Survey {
    /// Counts a snapshot that is about to be written, as far as its blobs were stored before.
    pub(super) fn add(&mut self, index: &BlobIndex, content: &[Id], trees: &[Id]) {
        for id in content {
            self.count(index, BlobKind::Data, *id);
        }
        for id in trees {
            self.count(index, BlobKind::Tree, *id);
        }
        self.stats.snapshot_count += 1;
    }

    /// Counts a blob that is used, once; tells whether it is stored.
    fn count(&mut self, index: &BlobIndex, kind: BlobKind, id: Id) -> bool {
        let Some(location) = index.find(kind, &id) else {
            self.used.insert((kind, id));
            return self.added.contains(&id);
        };
        if self.used.insert((kind, id)) {
            self.stats.blob_count += 1;
            self.stats.total_size += u64::from(location.length);
            self.stats.total_uncompressed_size += u64::from(location.content_length());
        }
        true
    }
}

/// The first damage in or below a tree.
fn damage_below(seen: &HashMap<Id, Seen>, tree: Id) -> Option<String> {
    let mut trees = vec![tree];
    let mut visited = HashSet::new();
    while let Some(id) = trees.pop() {
        let Some(facts) = seen.get(&id).filter(|_| visited.insert(id)) else {
            continue;
        };
        if facts.damage.is_some() {
            return facts.damage.clone();
        }
        trees.extend(facts.subtrees.iter().copied());
    }
    None
}
