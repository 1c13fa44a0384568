//! What the operator is told when it starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::oneshot;

/// The variable by which Google's own SDKs, and so this project, are pointed at a GCS emulator.
pub const STORAGE_EMULATOR_HOST: &str = "STORAGE_EMULATOR_HOST";

const PROXY_VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The configuration of one operator process.
pub struct OperatorConfig {
    /// How the API server is reached; needs the rights of the operator's ClusterRole.
    pub client: kube::Client,
    /// The namespace the operator runs in: its Lease lives there, and the webhook's Service.
    pub namespace: String,
    /// The image of the Jobs, which is the operator's own.
    pub image: String,
    /// Environment that is passed on to every Job.
    pub environment: JobEnvironment,
    /// The admission webhook; `None` leaves cross-object rules to the re-check at use.
    pub webhook: Option<WebhookConfig>,
    /// How many BackupSessions and RestoreSessions work at once; 0 sets no limit.
    pub max_sessions: usize,
    /// Whether a Lease is held before anything is written, so that several replicas can run.
    pub leader_election: bool,
    /// Told once, when all stores are filled, the webhook is registered and every controller runs.
    pub ready: Option<oneshot::Sender<()>>,
}

/// Where the admission webhook listens, and how the API server finds it.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the webhook configurations say about where to call.
    pub address: WebhookAddress,
    /// A folder with `tls.crt`, `tls.key` and `ca.crt`; without it a certificate is made at each
    /// start.
    pub cert_dir: Option<PathBuf>,
}

/// How the API server finds the webhook.
#[derive(Debug, Clone)]
pub enum WebhookAddress {
    /// By URL: `https://<host>:<the port listened on>`, for a server on this machine.
    Url {
        /// An IP address or DNS name, which the certificate is made for.
        host: String,
    },
    /// By a Service of the cluster.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
        /// The Service's port.
        port: u16,
    },
}

/// Environment variables that are copied into every container the operator creates. Never secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobEnvironment {
    /// `STORAGE_EMULATOR_HOST`: a GCS emulator stands for Google; no credentials are sent then.
    pub storage_emulator_host: Option<String>,
    /// The proxy variables that are set, by name.
    pub proxies: BTreeMap<String, String>,
}

impl JobEnvironment {
    /// Reads the variables from this process's environment; empty ones count as not set.
    #[must_use]
    pub fn from_process() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// The same with any source of variables.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        Self {
            storage_emulator_host: set(STORAGE_EMULATOR_HOST),
            proxies: PROXY_VARIABLES
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), set(name)?)))
                .collect(),
        }
    }

    /// The variables as name and value, in a stable order.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.storage_emulator_host
            .iter()
            .map(|host| (STORAGE_EMULATOR_HOST, host.as_str()))
            .chain(
                self.proxies
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_variables_that_are_set_are_passed_on() {
        let environment = JobEnvironment::from_lookup(|name| match name {
            STORAGE_EMULATOR_HOST => Some("http://127.0.0.1:4443".to_owned()),
            "https_proxy" => Some("http://proxy:3128".to_owned()),
            "HTTP_PROXY" => Some(String::new()),
            _ => None,
        });
        let variables: Vec<_> = environment.variables().collect();
        assert_eq!(
            variables,
            [
                (STORAGE_EMULATOR_HOST, "http://127.0.0.1:4443"),
                ("https_proxy", "http://proxy:3128")
            ]
        );
    }
}
