//! What the provider has to be told.

use std::path::PathBuf;
use std::time::Duration;

use kubestash_node::supervisor::Supervisor;

/// How to run a provider. Build it with [`ProviderConfig::new`] and change what differs.
#[derive(Clone)]
pub struct ProviderConfig {
    /// A client with the rights of KubeDB's operator (`up` gives the administrator's).
    pub client: kube::Client,
    /// The root of everything on disk; the databases are under `databases/`.
    pub data_dir: PathBuf,
    /// How server processes are started, so that they end with us.
    pub supervisor: Supervisor,
    /// Where server programs are looked for, as in `PATH`. `/usr/sbin` is looked at as well.
    pub search_path: String,
    /// How long a server may take to shut down cleanly when the provider is stopped.
    pub shutdown_grace: Duration,
    /// Paths that no server may see, besides the data directory: the administrator's kubeconfig, say.
    pub masked_paths: Vec<PathBuf>,
}

impl ProviderConfig {
    /// A configuration with the usual values: this process's `PATH`, 8 s to shut down.
    pub fn new(
        client: kube::Client,
        data_dir: impl Into<PathBuf>,
        own_binary: impl Into<PathBuf>,
    ) -> Self {
        Self {
            client,
            data_dir: data_dir.into(),
            supervisor: Supervisor::new(own_binary),
            search_path: std::env::var("PATH").unwrap_or_default(),
            shutdown_grace: Duration::from_secs(8),
            masked_paths: Vec::new(),
        }
    }
}
