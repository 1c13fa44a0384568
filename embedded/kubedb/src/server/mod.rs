//! Server processes: what those of every family have in common.
//!
//! ```text
//!   Servers ──one each──► Server ──task──► Keeper ──Child──► the server process
//!      │                                      │
//!      └── Template: an empty data directory ─┴─ Files: data, port, log of one server
//! ```
//! What differs from family to family is behind [`Engine`].

pub(crate) mod disk;
mod files;
mod keeper;
mod program;
mod servers;
mod template;

use std::future::Future;
use std::path::PathBuf;

pub(crate) use files::HOME;
pub(crate) use keeper::State;
use kubestash_node::supervisor::{SecretBytes, StopSignal};
pub(crate) use program::{Program, look_up, number};
pub(crate) use servers::Servers;

use crate::secret::Credentials;
use crate::{KubedbConfig, KubedbError};

/// A family of database servers: how its program is found, started and asked.
pub(crate) trait Engine: Send + Sync + 'static {
    /// The user that packages make for the servers of this family.
    const USER: &'static str;
    /// What makes a server shut down cleanly without waiting for its clients.
    const STOP: StopSignal;
    /// Files beside the data that are written anew before each start: name and content.
    const FILES: &'static [(&'static str, &'static str)];

    /// Finds the installed program for databases of `kind`.
    fn find(
        kind: &str,
        config: &KubedbConfig,
    ) -> impl Future<Output = Result<Program, KubedbError>> + Send;

    /// What makes an empty data directory in `data` of [`HOME`]. Its users have no passwords yet:
    /// it is a template, and no server takes connections before they have been set.
    fn initialise(program: &Program, search_path: &str) -> Result<Command, String>;

    /// What has to run to its end before each start of a server, if anything.
    fn prepare(program: &Program, credentials: &Credentials) -> Option<Command>;

    /// The server itself. It takes connections on loopback only, and none before the password of
    /// `credentials` is set.
    fn serve(program: &Program, port: u16, credentials: &Credentials, first: bool) -> Command;

    /// Logs in once.
    fn probe(
        port: u16,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<(), Silence>> + Send;

    /// The last step of setting up a new server.
    fn finish(
        port: u16,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<(), KubedbError>> + Send;
}

/// What tells a server from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    /// `mysql`, `mariadb` or `postgres`.
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// A program to run, as the servers' user.
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) stdin: Option<SecretBytes>,
}

/// Why a server did not let us in.
pub(crate) enum Silence {
    /// It does not answer (yet).
    NotYet(KubedbError),
    /// It answers, but not as it should: waiting does not help.
    Refused(KubedbError),
}
