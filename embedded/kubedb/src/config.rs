//! What the provider has to be told.

use std::path::PathBuf;
use std::time::Duration;

use kubestash_node::supervisor::Supervisor;

/// How to run a provider. Build it with [`KubedbConfig::new`] and change what differs.
#[derive(Clone)]
pub struct KubedbConfig {
    /// A client with the rights of KubeDB's operator (`up` gives the administrator's).
    pub client: kube::Client,
    /// The root of everything on disk; the databases are under `databases/`.
    pub data_dir: PathBuf,
    /// How server processes are started, so that they end with us.
    pub supervisor: Supervisor,
    /// Where server programs, and what they need, are looked for, as in `PATH`.
    pub search_path: String,
    /// Where PostgreSQL's programs are looked for when they are not in the search path:
    /// `<dir>/<major>/bin`.
    pub postgresql_dir: PathBuf,
    /// How long a server may take to shut down cleanly when the provider is stopped.
    pub shutdown_grace: Duration,
    /// Paths that no server may see, besides the data directory: the administrator's kubeconfig,
    /// say.
    pub masked_paths: Vec<PathBuf>,
}

impl KubedbConfig {
    /// A configuration with the usual values: this process's `PATH` and where Debian keeps servers,
    /// 8 s to shut down.
    pub fn new(
        client: kube::Client,
        data_dir: impl Into<PathBuf>,
        own_binary: impl Into<PathBuf>,
    ) -> Self {
        Self {
            client,
            data_dir: data_dir.into(),
            supervisor: Supervisor::new(own_binary),
            search_path: with_system_dirs(std::env::var("PATH").unwrap_or_default()),
            postgresql_dir: "/usr/lib/postgresql".into(),
            shutdown_grace: Duration::from_secs(8),
            masked_paths: Vec::new(),
        }
    }
}

/// A search path that has the folders of the system in it, in which servers are on Debian.
fn with_system_dirs(mut path: String) -> String {
    for dir in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !std::env::split_paths(&path).any(|known| known == std::path::Path::new(dir)) {
            if !path.is_empty() {
                path.push(':');
            }
            path.push_str(dir);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::with_system_dirs;

    #[test]
    fn the_folders_of_the_system_are_searched_once() {
        for (given, expected) in [
            ("", "/usr/sbin:/usr/bin:/sbin:/bin"),
            (
                "/opt/bin:/usr/bin",
                "/opt/bin:/usr/bin:/usr/sbin:/sbin:/bin",
            ),
        ] {
            assert_eq!(with_system_dirs(given.to_owned()), expected);
        }
    }
}
