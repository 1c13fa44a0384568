//! What a supervised process is: program, environment, user, and what it sees of the file system.

use std::path::PathBuf;

use base64::Engine as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// Where a [`PrivateRoot::executable`] appears to the process.
pub const POD_EXECUTABLE: &str = "/kubestash";

/// A process to be started under a supervisor.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// A name for `ps` and for error messages, such as `demo/pod-a/main`. Not secret.
    pub label: String,
    /// The program; without a slash it is looked up in the `PATH` of [`env`](Self::env).
    pub program: String,
    /// Its arguments, visible to everyone on the machine.
    pub args: Vec<String>,
    /// The whole environment of the process: nothing is inherited.
    pub env: Vec<(String, SecretBytes)>,
    /// Directory to start in, as the process sees it; `/` when unset.
    pub working_dir: Option<PathBuf>,
    /// The user to become; the caller's own when unset.
    pub identity: Option<Identity>,
    /// A file system of its own; the machine's when unset.
    pub root: Option<PrivateRoot>,
    /// What the process reads from standard input (at most [`MAX_STDIN`] bytes), through a pipe
    /// that it owns.
    pub stdin: Option<SecretBytes>,
    /// The file that its output is appended to.
    pub log: PathBuf,
    /// Whether set-uid programs stay without effect for the process.
    pub no_new_privileges: bool,
}

/// The largest [`ProcessSpec::stdin`]: what a pipe holds without a reader.
pub const MAX_STDIN: usize = 60 * 1024;

/// A user to run as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids; the process has no others.
    pub groups: Vec<u32>,
}

/// A file system view for one process: the machine's root with changes that nobody else sees and
/// that leave nothing behind. `/tmp` and `/proc` are its own.
#[derive(Clone, Serialize, Deserialize)]
pub struct PrivateRoot {
    /// An existing empty directory to build the view on; it stays empty.
    pub staging: PathBuf,
    /// Our own binary, to appear at [`POD_EXECUTABLE`].
    pub executable: Option<PathBuf>,
    /// Paths that appear empty.
    pub masked: Vec<PathBuf>,
    /// What to mount; parents are mounted before their children whatever the order here.
    pub mounts: Vec<Mount>,
}

/// One mount of a [`PrivateRoot`]. Its mount point is made if it is missing, without touching the
/// machine's root.
#[derive(Clone, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the view.
    pub target: PathBuf,
    /// What appears there.
    pub source: MountSource,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// What a [`Mount`] shows.
#[derive(Clone, Serialize, Deserialize)]
pub enum MountSource {
    /// A directory or file of the machine.
    Path(PathBuf),
    /// Files that only exist in memory, for this process.
    Files {
        /// The files; parent directories are made as needed.
        entries: Vec<FileEntry>,
        /// Show only this file or directory of them.
        sub_path: Option<String>,
        /// Owner of the files; root when unset.
        owner: Option<(u32, u32)>,
    },
}

/// A file of [`MountSource::Files`].
#[derive(Clone, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the mount, without `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: SecretBytes,
}

/// Bytes that may be secret: wiped from memory when dropped, never shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }
}

impl From<&str> for SecretBytes {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let encoded =
            Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(self.expose()));
        serializer.serialize_str(&encoded)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut encoded = String::deserialize(deserializer)?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(&encoded);
        encoded.zeroize();
        decoded.map(Self::from).map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("label", &self.label)
            .field("program", &self.program)
            .field("args", &self.args)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
