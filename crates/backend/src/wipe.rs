//! Removing what is ours, and telling what stays because it is not.
//!
//! Invariant: what goes is what `layout::contents` names; everything else stays where it is. What
//! says whose the rest is (`repository.yaml`, then `metadata.yaml`) goes last, so that a removal
//! that was cut off can be run again.

use futures::{StreamExt, stream};
use kubestash_domain::layout::contents::{Contents, Look, Owner, needs_a_look};
use kubestash_domain::layout::{self, METADATA_FILE, REPOSITORY_FILE};
use serde::{Deserialize, Serialize};

use crate::header::{self, Says};
use crate::{Backend, BackendError};

/// Key of the ConfigMap by which a Job tells what it left in a volume.
pub const LEFT_KEY: &str = "left";
/// How many of the files that stay are named.
const NAMED: usize = 3;
/// Files read at a time.
const READS: usize = 8;
/// Longest file that is read to see whose it is: ours are a few kilobytes.
const LONGEST_FILE: u64 = 4 << 20;

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiped {
    /// How many files were removed.
    pub removed: u64,
    /// What stays.
    pub left: Left,
}

/// Files that stay because they are not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<String>,
}

impl Left {
    fn add(&mut self, path: &str) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(path.to_owned());
        }
    }

    /// The files in words; none if there are none.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let more = match self.count.checked_sub(self.first.len()) {
            None | Some(0) => String::new(),
            Some(more) => format!(" and {more} more"),
        };
        let files = if self.count == 1 {
            "file that is"
        } else {
            "files that are"
        };
        (self.count > 0).then(|| {
            format!(
                "{} {files} not kubestash's stay: {}{more}; remove them by hand if nobody needs them",
                self.count,
                self.first.join(", ")
            )
        })
    }
}

impl Backend {
    /// Removes everything of the repository in `directory`, the storage's root included, and
    /// nothing else: other repositories inside of it and files of others stay.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn wipe_repository(&self, directory: &str) -> Result<Wiped, BackendError> {
        let directory = layout::repository_dir(directory);
        let paths = self.paths(&directory).await?;
        let mut contents = self.contents(&paths).await?;
        contents.add_repository(&directory);
        let own = Owner::Repository(directory.clone());
        self.wipe(&directory, &paths, contents, move |owner| *owner == own)
            .await
    }

    /// Removes everything of the storage and its repositories, and nothing else: what is another
    /// storage's, below its own `metadata.yaml`, and files of others stay.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn wipe_all(&self) -> Result<Wiped, BackendError> {
        let paths = self.paths("").await?;
        let contents = self.contents(&paths).await?;
        let is_ours = |owner: &Owner| matches!(owner, Owner::Repository(_) | Owner::Storage);
        self.wipe("", &paths, contents, is_ours).await
    }

    async fn wipe(
        &self,
        directory: &str,
        paths: &[String],
        contents: Contents,
        goes: impl Fn(&Owner) -> bool + Send + 'static,
    ) -> Result<Wiped, BackendError> {
        let mut wiped = Wiped::default();
        let mut steps: [Vec<String>; 3] = Default::default();
        for path in paths {
            match contents.owner(path) {
                owner if goes(&owner) => steps[step(path)].push(path.clone()),
                Owner::Foreign => wiped.left.add(path),
                Owner::Repository(_) | Owner::Storage | Owner::OtherStorage(_) => {}
            }
        }
        for step in steps {
            wiped.removed += self.store().delete_all(step).await?;
        }
        let goes_with = move |path: &str| match path.strip_suffix('/') {
            Some(folder) => contents
                .owner_of_directory(folder)
                .is_some_and(|directory| goes(&Owner::Repository(directory))),
            None => goes(&contents.owner(path)),
        };
        self.store().sweep(directory, goes_with).await?;
        Ok(wiped)
    }

    async fn paths(&self, directory: &str) -> Result<Vec<String>, BackendError> {
        let entries = self.store().list(directory).await?;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    /// Whose the files are, also by what is in the ones that others may have too.
    async fn contents(&self, paths: &[String]) -> Result<Contents, BackendError> {
        let mut contents = Contents::of(paths.iter().map(String::as_str));
        let candidates: Vec<String> = paths
            .iter()
            .filter(|path| needs_a_look(path).is_some())
            .cloned()
            .collect();
        let read = |path: String| async move {
            let content = self.read_short(&path).await;
            (path, content)
        };
        let mut reads = stream::iter(candidates.into_iter().map(read)).buffer_unordered(READS);
        while let Some((path, content)) = reads.next().await {
            match (needs_a_look(&path), content?) {
                (Some(Look::Repository(directory)), Some(content))
                    if header::of_repository(&content) == Says::Ours =>
                {
                    contents.add_repository(directory);
                }
                (Some(Look::Metadata(directory)), Some(content))
                    if header::of_metadata(&content) == Says::Ours =>
                {
                    contents.add_metadata(directory);
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    /// The content of a file; none if it is gone, or longer than any of ours.
    pub(crate) async fn read_short(&self, path: &str) -> Result<Option<Vec<u8>>, BackendError> {
        match self.store().size(path).await? {
            Some(size) if size <= LONGEST_FILE => {}
            _ => return Ok(None),
        }
        match self.store().read(path).await {
            Ok(content) => Ok(Some(content.to_vec())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// In which step a file goes: first the data, then what says whose it was.
fn step(path: &str) -> usize {
    match path.rsplit('/').next() {
        Some(METADATA_FILE) => 2,
        Some(REPOSITORY_FILE) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_told_with_its_number_and_the_first_names() {
        let mut left = Left::default();
        assert_eq!(left.told(), None);
        left.add("a");
        assert!(
            left.told()
                .unwrap()
                .starts_with("1 file that is not kubestash's stay: a;")
        );
        for path in ["b", "c", "d", "e"] {
            left.add(path);
        }
        let told = left.told().unwrap();
        assert!(
            told.starts_with("5 files that are not kubestash's stay: a, b, c and 2 more;"),
            "{told}"
        );
    }
}
