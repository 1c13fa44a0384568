//! `kubestash operator`: the operator of a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use kubestash_operator::{
    JobEnvironment, MAX_SESSIONS, OperatorConfig, WebhookAddress, WebhookConfig,
};

/// Image of the operator and of the Jobs it makes.
pub(crate) const IMAGE: &str =
    concat!("ghcr.io/kubestash-rs/kubestash:", env!("CARGO_PKG_VERSION"));

/// Flags of `kubestash operator`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Image of the Jobs: the operator's own
    #[arg(long, env = "KUBESTASH_IMAGE", default_value = IMAGE)]
    image: String,
    /// Namespace the operator runs in
    #[arg(long, env = "POD_NAMESPACE", default_value = "kubestash")]
    namespace: String,
    /// Address the admission webhook listens on
    #[arg(long, default_value = "0.0.0.0:9443")]
    webhook_listen: SocketAddr,
    /// Service by which the API server reaches the admission webhook; without it the operator runs
    /// without one
    #[arg(long, value_name = "NAME")]
    webhook_service: Option<String>,
    /// Directory with tls.crt, tls.key and ca.crt of the webhook; without it a certificate is made
    /// at each start
    #[arg(long, value_name = "DIR")]
    webhook_cert_dir: Option<PathBuf>,
    /// How many BackupSessions and RestoreSessions work at once; the others wait in a queue. 0
    /// sets no limit
    #[arg(long, value_name = "N", env = "KUBESTASH_MAX_SESSIONS", default_value_t = MAX_SESSIONS)]
    max_sessions: usize,
    /// Hold a Lease before anything is written, so that of several operators one works and the
    /// others wait
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    leader_elect: bool,
}

/// Runs the operator until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    crate::logging::start()?;
    let client = kube::Client::try_default().await.context(
        "failed to reach the cluster: set KUBECONFIG, or run in a pod with a ServiceAccount",
    )?;
    let webhook = args.webhook_service.map(|name| WebhookConfig {
        listen: args.webhook_listen,
        address: WebhookAddress::Service {
            namespace: args.namespace.clone(),
            name,
            port: 443,
        },
        cert_dir: args.webhook_cert_dir,
    });
    let config = OperatorConfig {
        client,
        namespace: args.namespace,
        image: args.image,
        environment: JobEnvironment::from_process(),
        webhook,
        max_sessions: args.max_sessions,
        leader_election: args.leader_elect,
        ready: None,
    };
    kubestash_operator::run(config, crate::signals::stop_on_signal()?)
        .await
        .context("failed to run the operator")
}
