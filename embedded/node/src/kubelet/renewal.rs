//! Tokens in the files of a running container, renewed as the kubelet does.
//!
//! ```text
//!   TokenRequest ─► <pod>/.tokens/<volume>/token ─► read-only bind mount in the container
//!        ▲                     ▲ rename
//!        └── due ◄─────────────┘   at 80 % of its life, or when the clock was put back behind its beginning
//! ```
//!
//! Invariant: a file always holds a whole token; a program that reads it again never has one that
//! is out of date for longer than
//! [`NodeConfig::token_checked_every`](crate::NodeConfig::token_checked_every).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};

use super::token::{Account, Issued, Request};
use super::trouble::Trouble;
use crate::supervisor::FileEntry;

/// A clock that is further back than this was put back.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// A directory with files of a container that may change while it runs.
#[derive(Debug)]
pub(crate) struct LiveDir {
    path: PathBuf,
    owner: Option<(u32, u32)>,
}

impl LiveDir {
    /// Creates the directory anew, with its files.
    pub(crate) fn create(
        path: PathBuf,
        entries: &[FileEntry],
        owner: Option<(u32, u32)>,
    ) -> Result<Self, Trouble> {
        let dir = Self { path, owner };
        dir.fill(entries)
            .map_err(|error| Trouble::node(format!("failed to write {:?}: {error}", dir.path)))?;
        Ok(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fill(&self, entries: &[FileEntry]) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // What leads to it is for root only; the directory itself is seen by the container alone.
        if let Some(parent) = self.path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        fs::DirBuilder::new().mode(0o755).create(&self.path)?;
        entries.iter().try_for_each(|entry| self.put(entry))
    }

    /// Puts a file in the place of another: readers see the old one or the new one.
    fn put(&self, entry: &FileEntry) -> io::Result<()> {
        let relative = Path::new(&entry.path);
        let inside = |part| matches!(part, Component::Normal(_));
        let (true, Some(name)) = (relative.components().all(inside), relative.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let path = self.path.join(relative);
        let parent = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(parent)?;
        let partial = parent.join(format!(".{}.new", name.to_string_lossy()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(entry.data.expose())?;
        if let Some((uid, gid)) = self.owner {
            chown(&partial, Some(uid), Some(gid))?;
        }
        file.set_permissions(fs::Permissions::from_mode(entry.mode & 0o777))?;
        fs::rename(&partial, &path)
    }
}

/// A token in a file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    pub(crate) dir: Arc<LiveDir>,
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) request: Request,
    pub(crate) issued: Issued,
}

/// The tokens of a running container.
pub(crate) struct Renewal {
    client: Client,
    pod: Arc<Pod>,
    files: Vec<TokenFile>,
    every: Duration,
    after: Option<Duration>,
}

impl Renewal {
    /// Of a container with these files.
    pub(crate) fn new(
        client: Client,
        pod: Arc<Pod>,
        files: Vec<TokenFile>,
        every: Duration,
        after: Option<Duration>,
    ) -> Self {
        Self {
            client,
            pod,
            files,
            every,
            after,
        }
    }

    /// Renews tokens as they become due, for ever.
    pub(crate) async fn keep(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            // By the clock on the wall, looked at again and again: it stands still while the
            // machine sleeps, and may be set.
            tokio::time::sleep(self.every).await;
            let account = Account::of(&self.client, &self.pod);
            for file in &mut self.files {
                if !is_due(Timestamp::now(), &file.issued, self.after) {
                    continue;
                }
                if let Err(error) = renew(&account, file).await {
                    let pod = self.pod.name_any();
                    tracing::warn!(pod, %error, "failed to renew a token, trying again");
                }
            }
        }
    }
}

async fn renew(account: &Account<'_>, file: &mut TokenFile) -> Result<(), String> {
    let issued = account
        .issue(&file.request)
        .await
        .map_err(|trouble| trouble.message)?;
    let entry = FileEntry {
        path: file.path.clone(),
        mode: file.mode,
        data: issued.token.clone(),
    };
    file.dir.put(&entry).map_err(|error| error.to_string())?;
    file.issued = issued;
    Ok(())
}

/// Whether a token is to be renewed: at 80 % of its life or `after`, whichever is first.
fn is_due(now: Timestamp, issued: &Issued, after: Option<Duration>) -> bool {
    let life = issued.ends.duration_since(issued.at);
    let age = now.duration_since(issued.at);
    let after = after.and_then(|after| SignedDuration::try_from(after).ok());
    age < -LEEWAY || age >= life / 5 * 4 || after.is_some_and(|after| age >= after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_its_life_and_when_the_clock_was_put_back() {
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        let issued = Issued {
            token: "t".into(),
            at: at(0),
            ends: at(1000),
        };
        for (seconds, after, due) in [
            (0, None, false),
            (799, None, false),
            (800, None, true),
            (5000, None, true),
            (-5, None, false),
            (-3600, None, true),
            (10, Some(10), true),
            (9, Some(10), false),
        ] {
            let after = after.map(Duration::from_secs);
            assert_eq!(
                is_due(at(seconds), &issued, after),
                due,
                "{seconds} {after:?}"
            );
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let entry = |path: &str, text: &str| FileEntry {
            path: path.to_owned(),
            mode: 0o640,
            data: text.into(),
        };
        let dir = LiveDir::create(
            root.path().join("x/tokens"),
            &[entry("a/token", "one")],
            None,
        )
        .unwrap();
        let file = dir.path().join("a/token");
        // Who has the old one open goes on reading it.
        let mut old = fs::File::open(&file).unwrap();
        dir.put(&entry("a/token", "two")).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut old, &mut text).unwrap();
        assert_eq!(text, "one");
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        assert!(dir.put(&entry("../out", "x")).is_err());
    }
}
