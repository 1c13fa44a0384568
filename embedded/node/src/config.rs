//! What the node has to be told.

use std::path::PathBuf;
use std::time::Duration;

/// How to run a node. Build it with [`NodeConfig::new`] and change what differs.
#[derive(Clone)]
pub struct NodeConfig {
    /// A client with the rights of a node and of the Job controller (`up` gives the
    /// administrator's).
    pub client: kube::Client,
    /// The root of everything on disk, which no pod sees; the node keeps claims in `volumes/`
    /// there.
    pub data_dir: PathBuf,
    /// Where logs and emptyDir volumes are, `<uid>/…` for each pod: where the API server looks for
    /// logs.
    pub pods_dir: PathBuf,
    /// The binary that stands behind [`own_images`](Self::own_images), and that is re-executed as
    /// the supervisor.
    pub own_binary: PathBuf,
    /// Image references that this node can run: they all mean [`own_binary`](Self::own_binary).
    /// A tag or digest in a pod's image is ignored when the entry here has none.
    pub own_images: Vec<String>,
    /// The name in `spec.nodeName` of the pods and in Events.
    pub node_name: String,
    /// Address of the API server as pods see it (`KUBERNETES_SERVICE_HOST`).
    pub api_host: String,
    /// Port of the API server as pods see it (`KUBERNETES_SERVICE_PORT`).
    pub api_port: u16,
    /// PEM of the authority that signed the API server's certificate (`ca.crt` beside the token).
    pub ca_pem: String,
    /// Paths that no pod may see, besides [`data_dir`](Self::data_dir): the administrator's
    /// kubeconfig, say.
    pub masked_paths: Vec<PathBuf>,
    /// `PATH` of containers that set none.
    pub search_path: String,
    /// How long pods may take to end when the node itself is stopped.
    pub shutdown_grace: Duration,
    /// Life of the tokens of pods' ServiceAccounts, in seconds; at least 600. They are renewed in
    /// their files.
    pub token_seconds: i64,
    /// How often is looked whether a token is to be renewed.
    pub token_checked_every: Duration,
    /// The age at which a token is renewed that has not reached 80 % of its life.
    pub token_renewed_after: Option<Duration>,
}

impl NodeConfig {
    /// A configuration with the usual values: pods in `pods/` of the data directory, node
    /// `kubestash`, the `PATH` of this process, 4 s to shut down.
    pub fn new(
        client: kube::Client,
        data_dir: impl Into<PathBuf>,
        own_binary: impl Into<PathBuf>,
    ) -> Self {
        let data_dir = data_dir.into();
        Self {
            client,
            pods_dir: data_dir.join("pods"),
            data_dir,
            own_binary: own_binary.into(),
            own_images: Vec::new(),
            node_name: "kubestash".to_owned(),
            api_host: "127.0.0.1".to_owned(),
            api_port: 0,
            ca_pem: String::new(),
            masked_paths: Vec::new(),
            search_path: std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned()),
            shutdown_grace: Duration::from_secs(4),
            // Long enough that a clock that is put forward does not end all of them at once.
            token_seconds: 24 * 3600,
            token_checked_every: Duration::from_secs(30),
            token_renewed_after: None,
        }
    }
}

/// `PATH` when this process itself has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
