//! Whether a storage may be set up where it is: over nothing, or over what is ours.
//!
//! ```text
//!   metadata.yaml is ours ───────────────────────────► adopted, whatever else is there
//!   metadata.yaml is something else ─────────────────► refused, it would be written over
//!   no metadata.yaml, or one that says nothing:
//!       a repository of ours is there ───────────────► adopted
//!       nothing, or what systems leave on a disk ────► set up
//!       anything else ───────────────────────────────► refused
//! ```

use kubestash_api::config::BackendMeta;
use kubestash_domain::layout::contents::is_systems_own;
use kubestash_domain::layout::{self, METADATA_FILE, REPOSITORY_FILE};

use crate::header::{self, Says};
use crate::{Backend, BackendError};

/// How many foreign names are told.
const NAMED: usize = 5;
/// Directories that are looked into for a repository of ours. What is not found by then is not
/// ours.
const LOOKED_INTO: usize = 1000;

const ANOTHER_PLACE: &str = "give the storage an empty place of its own (spec.storage.<provider>.prefix, of a volume \
     spec.storage.local.subPath), or move what is there away";

/// A storage that may be set up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adopted {
    /// What `metadata.yaml` says, if it can be read.
    pub metadata: Option<BackendMeta>,
    /// Why `metadata.yaml` must not be written: it is somebody else's. Only of a storage that was
    /// set up before.
    pub foreign_metadata: Option<String>,
}

impl Backend {
    /// Looks at what is there before anything is written. `first` says that the storage has never
    /// been set up; one that has goes on, whatever somebody put there since.
    ///
    /// # Errors
    /// If what is there is somebody else's, or the storage fails.
    pub async fn adopt(&self, first: bool) -> Result<Adopted, BackendError> {
        let refused = |found: String| BackendError::Foreign {
            place: self.store().place().to_owned(),
            found,
            remedy: ANOTHER_PLACE,
        };
        let content = self.read_short(METADATA_FILE).await?;
        let says = match &content {
            Some(content) => header::of_metadata(content),
            None if self.store().size(METADATA_FILE).await?.is_some() => Says::Other,
            None => Says::Nothing,
        };
        match says {
            Says::Ours => {
                let metadata = match self.read_metadata().await {
                    // It only repeats what the storage holds, and is written anew.
                    Err(BackendError::InvalidFile { .. }) => None,
                    metadata => metadata?,
                };
                return Ok(Adopted {
                    metadata,
                    foreign_metadata: None,
                });
            }
            Says::Other if first => {
                return Err(refused(format!("{METADATA_FILE} there is not kubestash's")));
            }
            Says::Other => {
                let found = format!(
                    "{METADATA_FILE} in {} is not kubestash's any more and is left as it is; move it away, \
                     and it is written anew",
                    self.store().place()
                );
                return Ok(Adopted {
                    metadata: None,
                    foreign_metadata: Some(found),
                });
            }
            Says::Nothing if !first => return Ok(Adopted::default()),
            Says::Nothing => {}
        }
        let names = self.store().list_names("").await?;
        let foreign: Vec<&str> = names
            .iter()
            .map(String::as_str)
            // A metadata.yaml that says nothing is lost, whosever it was.
            .filter(|name| !is_systems_own(name) && *name != METADATA_FILE)
            .collect();
        if foreign.is_empty() && (content.is_none() || is_blank(content.as_deref())) {
            return Ok(Adopted::default());
        }
        if self.has_repository().await? {
            return Ok(Adopted::default());
        }
        if foreign.is_empty() {
            return Err(refused(format!("{METADATA_FILE} there cannot be read")));
        }
        let more = match foreign.len().checked_sub(NAMED) {
            None | Some(0) => String::new(),
            Some(more) => format!(" and {more} more"),
        };
        let shown = foreign[..foreign.len().min(NAMED)].join(", ");
        Err(refused(format!(
            "it holds something else, and nothing of kubestash: {shown}{more}"
        )))
    }

    /// Whether there is a repository of ours.
    async fn has_repository(&self) -> Result<bool, BackendError> {
        let mut pending = std::collections::VecDeque::from([String::new()]);
        for _ in 0..LOOKED_INTO {
            let Some(directory) = pending.pop_front() else {
                return Ok(false);
            };
            for name in self.store().list_names(&directory).await? {
                let path = layout::join(&[&directory, &name]);
                if name == REPOSITORY_FILE {
                    let content = self.read_short(&path).await?;
                    if content.is_some_and(|content| header::of_repository(&content) == Says::Ours)
                    {
                        return Ok(true);
                    }
                } else if name.ends_with('/') && !is_systems_own(&name) {
                    pending.push_back(path);
                }
            }
        }
        Ok(false)
    }
}

fn is_blank(content: Option<&[u8]>) -> bool {
    content.is_none_or(|content| {
        content
            .iter()
            .all(|byte| *byte == 0 || byte.is_ascii_whitespace())
    })
}
