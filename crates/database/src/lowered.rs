//! An identity without rights, for clients that read what is in a dump.
//!
//! A client that loads needs its server and the files that tell it how to connect, and nothing else
//! of this machine. So where we are root it runs as a user who owns nothing but these files: should
//! a dump get the better of it, it reaches what everybody reaches. Where that cannot be, it runs as
//! ourselves, and a note says so.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::client::bare_command;
use crate::private_dir::PrivateDir;

/// A user and group that no distribution gives to anybody.
const ID: u32 = 60_987;

/// What is said where a client keeps our rights.
const KEPT: &str = "the client that loads has the rights of root: mount a scratchDir that other users can reach, or run the Job as another user";

/// As whom a client runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lowered(bool);

impl Lowered {
    /// The identity for a client, and a folder for its files: in `scratch`, or in the system's own
    /// folder for temporary files if nobody else can reach `scratch`. What is not as it should
    /// be is noted.
    ///
    /// # Errors
    /// If no folder can be made.
    pub(crate) async fn prepare(
        program: &Path,
        scratch: &Path,
        notes: &mut Vec<String>,
    ) -> io::Result<(Self, PrivateDir)> {
        if is_root()? && runs(program).await {
            let places = [scratch.to_owned(), std::env::temp_dir()];
            let reachable = places.iter().filter(|place| is_reachable(place));
            for place in reachable {
                if let Ok(dir) = PrivateDir::create_in(place) {
                    return Ok((Self(true), dir));
                }
            }
            notes.push(KEPT.to_owned());
        } else if is_root()? {
            notes.push(KEPT.to_owned());
        }
        Ok((Self(false), PrivateDir::create_in(scratch)?))
    }

    /// Gives a folder and its files to the identity.
    ///
    /// # Errors
    /// If we may not.
    pub(crate) fn own(self, dir: &PrivateDir) -> io::Result<()> {
        if !self.0 {
            return Ok(());
        }
        for entry in std::fs::read_dir(dir.path())? {
            chown(entry?.path(), Some(ID), Some(ID))?;
        }
        chown(dir.path(), Some(ID), Some(ID))
    }

    /// Lets a command run as the identity.
    pub(crate) fn apply(self, command: &mut Command) {
        if self.0 {
            command.uid(ID).gid(ID).current_dir("/");
        }
    }
}

/// Whether this process is root: only root may become somebody else.
fn is_root() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

/// Whether the program runs as the identity.
async fn runs(program: &Path) -> bool {
    let mut command = bare_command(program);
    Lowered(true).apply(&mut command);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let ended = command.status().await;
    ended.is_ok_and(|status| status.success())
}

/// Whether everybody may go through a folder and all that it lies in.
fn is_reachable(folder: &Path) -> bool {
    let Ok(mut folder) = std::fs::canonicalize(folder) else {
        return false;
    };
    loop {
        let mode = std::fs::metadata(&folder).map(|meta| meta.permissions().mode());
        if !mode.is_ok_and(|mode| mode & 0o001 != 0) {
            return false;
        }
        let Some(parent) = folder.parent().map(PathBuf::from) else {
            return true;
        };
        folder = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_within_a_private_one_is_reached_by_nobody_else() {
        let private = tempfile::tempdir().unwrap();
        let mode = |folder: &Path, mode| {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(private.path(), 0o700);
        let open = private.path().join("open");
        std::fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        assert!(!is_reachable(&open) && !is_reachable(Path::new("/no/such/folder")));
        assert!(is_reachable(Path::new("/usr/bin")));
    }
}
