//! After the stream, before the snapshot is written: what it will refer to is in the storage as it
//! should be.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::files;
use super::id::Id;
use super::index::{self, BlobIndex, BlobKind, KnownPack};
use super::open::Opened;
use super::prepare::{self, Prepared};
use super::rotation::LEAST;
use super::upload::Upload;
use crate::{EngineError, ReadDepth};

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) packs_read: u64,
    pub(super) bytes_read: u64,
}

/// Compares the size of every pack that the snapshot needs with a listing, and reads back what was
/// written: the index files, and of the packs as many as a backup reads at least. The second value
/// names the packs that are broken.
pub(super) async fn verify(
    opened: &Arc<Opened>,
    index: &BlobIndex,
    upload: &Upload,
    content: &[Id],
    trees: &[Id],
    prepared: &Prepared,
) -> Result<Written, (EngineError, HashSet<Id>)> {
    let known = |kind, id: &Id| index.known_pack(&index.find(kind, id)?);
    let data = content.iter().filter_map(|id| known(BlobKind::Data, id));
    let trees = trees.iter().filter_map(|id| known(BlobKind::Tree, id));
    let needed: BTreeMap<Id, KnownPack> = data
        .chain(trees)
        .chain(upload.packs.iter().copied())
        .map(|pack| (pack.id, pack))
        .collect();
    let chosen = chosen(&upload.packs, prepared.wish.depth);
    let written = Written {
        packs_read: chosen.len() as u64,
        bytes_read: chosen.iter().map(|pack| pack.size).sum(),
    };
    let looking = async {
        let sizes = index::sizes(opened).await?;
        prepare::broken_by_size(opened, needed.values(), &sizes).await
    };
    let looked = tokio::try_join!(
        looking,
        prepare::read_back(opened, chosen),
        indexes(opened, upload)
    );
    let (mut broken, damaged, ()) = looked.map_err(|error| (error, HashSet::new()))?;
    broken.extend(damaged);
    if broken.is_empty() {
        return Ok(written);
    }
    let error = EngineError::NotStored {
        location: opened.location.clone(),
        reason: broken.values().cloned().collect::<Vec<_>>().join("; "),
    };
    Err((error, broken.into_keys().collect()))
}

/// The packs to read of those that were written.
fn chosen(packs: &[KnownPack], depth: ReadDepth) -> Vec<KnownPack> {
    let mut bytes = 0;
    let fits = |pack: &&KnownPack| {
        let fits = depth == ReadDepth::All || bytes < LEAST;
        bytes += pack.size;
        fits
    };
    packs.iter().filter(fits).copied().collect()
}

/// Reads the index files back that were written.
async fn indexes(opened: &Arc<Opened>, upload: &Upload) -> Result<(), EngineError> {
    for id in &upload.indexes {
        match opened.read_named(&format!("{}/{id}", files::INDEX)).await {
            Ok(_) => {}
            Err(error) if error.is_damage() => {
                return Err(EngineError::NotStored {
                    location: opened.location.clone(),
                    reason: error.to_string(),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
