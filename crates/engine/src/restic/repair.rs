//! Putting a repository right: what is broken leaves the index, what is still good in it is kept.
//!
//! Under an exclusive lock, because index files are replaced. A crash at any point leaves a sound
//! repository:
//!
//! ```text
//!   1. the good blobs of damaged packs go into new packs, which an index names
//!   2. a new index names the good packs of the index files that are to be replaced
//!   3. the old index files go, then the damaged packs
//! ```
//! The chunks that are lost are stored anew by the next backup whose stream still has them.
//! Snapshots that need a chunk that nobody has any more are named by [`survey`](super::survey).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::encode::{self, EncodedBlob};
use super::id::Id;
use super::index::{self, IndexBlob, IndexFile, IndexPack, KnownPack, Sizes};
use super::lock::{Lock, Mode};
use super::open::{Opened, run_blocking};
use super::upload::{BLOBS_PER_INDEX, Upload};
use super::{files, prepare};
use crate::{CancellationToken, EngineError};

/// How long others are waited for: a backup can go on without the repair.
const LOCK_WAIT: Duration = Duration::from_secs(600);
/// Files read or deleted at a time.
const FILES: usize = 8;

/// Takes what is broken out of the index; returns what was found and done, in sentences. Of
/// `suspects` it is only known that their contents looked wrong. With `index_lost`, packs that no
/// index names are named again.
pub(super) async fn repair(
    opened: &Arc<Opened>,
    suspects: &HashSet<Id>,
    index_lost: bool,
    cancel: &CancellationToken,
) -> Result<Vec<String>, EngineError> {
    let mut patient = (**opened).clone();
    patient.options.lock_wait = patient.options.lock_wait.min(LOCK_WAIT);
    let lock = Lock::acquire(&Arc::new(patient), Mode::Exclusive, cancel).await?;
    let result = tokio::select! {
        result = locked(opened, suspects, index_lost) => result,
        () = lock.lost().cancelled() => Err(EngineError::LockLost {
            location: opened.location.clone(),
            source: None,
        }),
    };
    opened.cache.clear();
    lock.release().await;
    result
}

/// The index files of a repository.
pub(super) struct IndexFiles {
    pub(super) readable: Vec<(Id, IndexFile)>,
    /// Those that cannot be read, and why.
    unusable: Vec<(Id, String)>,
    /// Packs that only their headers name.
    recovered: Vec<IndexPack>,
}

impl IndexFiles {
    pub(super) async fn load(opened: &Opened) -> Result<Self, EngineError> {
        let ids = opened.list_ids(files::INDEX).await?;
        let mut loads = stream::iter(ids.into_iter().map(|id| async move {
            (
                id,
                opened
                    .load::<IndexFile>(&format!("{}/{id}", files::INDEX))
                    .await,
            )
        }))
        .buffer_unordered(FILES);
        let mut found = Self {
            readable: Vec::new(),
            unusable: Vec::new(),
            recovered: Vec::new(),
        };
        while let Some((id, file)) = loads.next().await {
            match file {
                Ok(file) => found.readable.push((id, file)),
                Err(error) if error.is_damage() => found.unusable.push((id, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    pub(super) fn packs(&self) -> impl Iterator<Item = &IndexPack> {
        self.readable
            .iter()
            .flat_map(|(_, file)| &file.packs)
            .chain(&self.recovered)
    }

    /// Replaces every index file that names a pack that goes, and every one that cannot be read.
    /// What only headers named is named now.
    pub(super) async fn replace(
        self,
        opened: &Opened,
        goes: impl Fn(&Id) -> bool,
    ) -> Result<(), EngineError> {
        let (mut replaced, mut keep) = (Vec::new(), self.recovered);
        keep.retain(|pack| !goes(&pack.id));
        for (id, file) in self.readable {
            if file.packs.iter().any(|pack| goes(&pack.id)) {
                replaced.push(id);
                keep.extend(file.packs.into_iter().filter(|pack| !goes(&pack.id)));
            }
        }
        replaced.extend(self.unusable.into_iter().map(|(id, _)| id));
        let mut file = IndexFile::default();
        let mut blobs = 0;
        for pack in keep {
            blobs += pack.blobs.len();
            file.packs.push(pack);
            if blobs >= BLOBS_PER_INDEX {
                opened
                    .save(files::INDEX, &std::mem::take(&mut file))
                    .await?;
                blobs = 0;
            }
        }
        if !file.packs.is_empty() {
            opened.save(files::INDEX, &file).await?;
        }
        delete(
            opened,
            replaced
                .iter()
                .map(|id| opened.path_of(files::INDEX, id))
                .collect(),
        )
        .await
    }
}

/// Deletes files.
pub(super) async fn delete(opened: &Opened, paths: Vec<String>) -> Result<(), EngineError> {
    stream::iter(paths)
        .map(|path| opened.store.delete_owned(path))
        .buffer_unordered(FILES)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

/// The repair itself. The caller holds the exclusive lock.
pub(super) async fn locked(
    opened: &Arc<Opened>,
    suspects: &HashSet<Id>,
    index_lost: bool,
) -> Result<Vec<String>, EngineError> {
    opened.cache.clear();
    let mut files = IndexFiles::load(opened).await?;
    let sizes = index::sizes(opened).await?;
    let mut said = Vec::new();
    if index_lost || !files.unusable.is_empty() {
        files.recovered = recover(opened, &files, &sizes, &mut said).await?;
    }
    let known: Vec<KnownPack> = files
        .packs()
        .map(|pack| KnownPack::new(pack.id, pack.size()))
        .collect();
    let mut broken = prepare::broken_by_size(opened, known.iter(), &sizes).await?;
    let doubtful = known
        .iter()
        .filter(|pack| suspects.contains(&pack.id) && !broken.contains_key(&pack.id));
    let damaged = prepare::read_back(opened, doubtful.copied().collect()).await?;
    broken.extend(damaged);
    if broken.is_empty() && files.unusable.is_empty() && files.recovered.is_empty() {
        return Ok(said);
    }
    save_good_blobs(opened, &files, &broken, &sizes, &mut said).await?;
    files.replace(opened, |id| broken.contains_key(id)).await?;
    let paths = broken
        .keys()
        .filter(|id| sizes.contains_key(id))
        .map(|id| files::pack_path(&opened.directory, id))
        .collect();
    delete(opened, paths).await?;
    for sentence in &said {
        tracing::warn!(location = %opened.location, "repaired the repository: {sentence}");
    }
    Ok(said)
}

/// What the headers of packs say that only index files named that cannot be read or are lost.
async fn recover(
    opened: &Opened,
    files: &IndexFiles,
    sizes: &Sizes,
    said: &mut Vec<String>,
) -> Result<Vec<IndexPack>, EngineError> {
    let named: HashSet<Id> = files.packs().map(|pack| pack.id).collect();
    let (packs, headless) = index::headers(opened, sizes, |id| named.contains(id)).await?;
    for (id, _) in &files.unusable {
        said.push(format!(
            "index/{id} was damaged; it was built anew from the headers of {} packs",
            packs.len()
        ));
    }
    if files.unusable.is_empty() && !packs.is_empty() {
        said.push(format!(
            "an index file is lost; it was built anew from the headers of {} packs",
            packs.len()
        ));
    }
    said.extend(headless.iter().map(|id| {
        format!("pack {id} is named by no index that can be read, and its header is damaged")
    }));
    Ok(packs)
}

/// Stores the good blobs of damaged packs in new packs, with an index of their own.
async fn save_good_blobs(
    opened: &Arc<Opened>,
    files: &IndexFiles,
    broken: &BTreeMap<Id, String>,
    sizes: &Sizes,
    said: &mut Vec<String>,
) -> Result<(), EngineError> {
    // What is stored elsewhere needs no saving.
    let is_broken = |pack: &&IndexPack| broken.contains_key(&pack.id);
    let mut wanted: HashSet<Id> = files
        .packs()
        .filter(is_broken)
        .flat_map(|pack| &pack.blobs)
        .map(|blob| blob.id)
        .collect();
    for blob in files
        .packs()
        .filter(|pack| !is_broken(pack))
        .flat_map(|pack| &pack.blobs)
    {
        wanted.remove(&blob.id);
    }
    let mut upload = Upload::new(opened);
    let mut done = HashSet::new();
    for pack in files.packs().filter(is_broken) {
        if !done.insert(pack.id) {
            continue;
        }
        let (mut saved, mut lost) = (0_usize, 0_usize);
        let content = match sizes.contains_key(&pack.id) {
            true => Some(
                opened
                    .store
                    .read(&files::pack_path(&opened.directory, &pack.id))
                    .await?,
            ),
            false => None,
        };
        for blob in &pack.blobs {
            if !wanted.contains(&blob.id) {
                continue;
            }
            match &content {
                Some(content) => match good_blob(opened, pack, blob, content).await? {
                    Some(good) => {
                        upload.add(blob.kind, good).await?;
                        wanted.remove(&blob.id);
                        saved += 1;
                    }
                    None => lost += 1,
                },
                None => lost += 1,
            }
        }
        let reason = broken.get(&pack.id).map_or("", String::as_str);
        said.push(format!(
            "{reason}; {saved} of its {} chunks were saved, and {lost} can only be stored anew by a backup",
            pack.blobs.len()
        ));
    }
    upload.finish().await
}

/// A blob of a damaged pack, in its stored form, if it is good itself.
async fn good_blob(
    opened: &Arc<Opened>,
    pack: &IndexPack,
    blob: &IndexBlob,
    content: &Bytes,
) -> Result<Option<EncodedBlob>, EngineError> {
    let start = blob.offset as usize;
    let end = start + blob.length as usize;
    if end > content.len() {
        // The pack ends before.
        return Ok(None);
    }
    let good = checked(opened, blob, content.slice(start..end)).await?;
    if good.is_some() {
        return Ok(good);
    }
    // The answer may have been wrong, not the pack.
    let path = files::pack_path(&opened.directory, &pack.id);
    let again = opened
        .store
        .read_range(&path, u64::from(blob.offset), u64::from(blob.length))
        .await?;
    checked(opened, blob, again).await
}

async fn checked(
    opened: &Arc<Opened>,
    blob: &IndexBlob,
    stored: Bytes,
) -> Result<Option<EncodedBlob>, EngineError> {
    let (opened, blob) = (Arc::clone(opened), blob.clone());
    run_blocking("decode a blob", move || {
        let content = encode::decode(&opened.key, &blob.id, blob.uncompressed_length, &stored);
        Ok(content.ok().map(|content| EncodedBlob {
            id: blob.id,
            content_length: content.len() as u32,
            compressed: blob.uncompressed_length.is_some(),
            stored,
        }))
    })
    .await
}
