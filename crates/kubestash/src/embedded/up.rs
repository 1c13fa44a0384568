//! `kubestash up`: the whole system on one machine, in one process.
//!
//! ```text
//!   API server ◄── definitions, catalog
//!       ▲  ▲  ▲
//!       │  │  └── operator        stops first: nothing new begins
//!       │  └───── node            then the pods end
//!       └──────── provider        then the database servers, cleanly
//!   API server                    stops last
//! ```
//! Each part has its own stop signal, so that the parts below outlive those above.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use kube::client::ConfigExt;
use kubestash_apiserver::Server;
use kubestash_kubedb::KubedbConfig;
use kubestash_node::NodeConfig;
use kubestash_operator::{
    JobEnvironment, MAX_SESSIONS, OperatorConfig, WebhookAddress, WebhookConfig,
};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, ServiceBuilder};

use crate::operator::IMAGE;

/// Namespace of what belongs to the system itself.
const NAMESPACE: &str = "kubestash";
/// How long pods may take to end when everything stops.
const POD_GRACE: Duration = Duration::from_secs(3);
/// How long database servers may take.
const DATABASE_GRACE: Duration = Duration::from_secs(5);

/// Flags of `kubestash up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory that everything is kept in
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubestash")]
    data_dir: PathBuf,
    /// File to write the kubeconfig to; `kubeconfig` in the data directory by default
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Port of the API server on 127.0.0.1; by default the one of the last time, or a free one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// How many BackupSessions and RestoreSessions work at once; the others wait in a queue. 0
    /// sets no limit
    #[arg(long, value_name = "N", env = "KUBESTASH_MAX_SESSIONS", default_value_t = MAX_SESSIONS)]
    max_sessions: usize,
    /// Stop when standard input is closed, for use under another program
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// Runs everything until a signal, or until a part fails.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    crate::logging::start()?;
    let stop = crate::signals::stop_on_signal()?;
    if args.until_eof {
        stop_on_eof(stop.clone());
    }
    let data_dir =
        std::path::absolute(&args.data_dir).context("failed to find the data directory")?;
    let kubeconfig = match args.kubeconfig {
        Some(file) => std::path::absolute(file).context("failed to find the kubeconfig file")?,
        None => data_dir.join("kubeconfig"),
    };
    let own_binary = std::env::current_exe().context("failed to find this program's own file")?;
    super::rights::check()?;
    make_root(&data_dir)?;
    super::rights::try_out(&data_dir, &own_binary).await?;
    raise_open_files();
    let server = start_server(&data_dir, args.port).await?;
    write_private(&kubeconfig, &serde_saphyr::to_string(&server.kubeconfig())?)?;

    let result = run_parts(
        &server,
        &own_binary,
        &data_dir,
        &kubeconfig,
        args.max_sessions,
        &stop,
    )
    .await;
    server.shutdown().await;
    result
}

async fn start_server(data_dir: &Path, port: u16) -> anyhow::Result<Server> {
    let remembered = data_dir.join("port");
    let port = if port == 0 {
        last_port(&remembered)
    } else {
        port
    };
    let bind = (Ipv4Addr::LOCALHOST, port).into();
    let server = kubestash_apiserver::start(kubestash_apiserver::Config {
        data_dir: data_dir.to_owned(),
        bind,
    })
    .await?;
    fs::write(&remembered, server.addr().port().to_string())
        .with_context(|| format!("failed to write {}", remembered.display()))?;
    Ok(server)
}

/// The port of the last time, if it is free now; 0 otherwise.
fn last_port(file: &Path) -> u16 {
    let last = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    if last != 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, last)).is_ok() {
        last
    } else {
        0
    }
}

/// Starts what talks to the API server, waits for the end, and stops it in order.
async fn run_parts(
    server: &Server,
    own_binary: &Path,
    data_dir: &Path,
    kubeconfig: &Path,
    max_sessions: usize,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let client = client(server).await?;
    super::install::definitions(&client).await?;
    super::install::addons(&client, IMAGE).await?;

    let mut kubedb_config = KubedbConfig::new(client.clone(), data_dir, own_binary);
    kubedb_config.shutdown_grace = DATABASE_GRACE;
    kubedb_config.masked_paths = vec![kubeconfig.to_owned()];
    let mut node_config = NodeConfig::new(client.clone(), data_dir, own_binary);
    node_config.own_images = vec![IMAGE.to_owned()];
    node_config.api_port = server.addr().port();
    node_config.ca_pem = server.ca_pem().to_owned();
    node_config.shutdown_grace = POD_GRACE;
    node_config.masked_paths = vec![kubeconfig.to_owned()];
    let (ready, operator_is_ready) = oneshot::channel();
    let operator_config = OperatorConfig {
        client,
        namespace: NAMESPACE.to_owned(),
        image: IMAGE.to_owned(),
        environment: JobEnvironment::from_process(),
        webhook: Some(WebhookConfig {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            address: WebhookAddress::Url {
                host: "127.0.0.1".to_owned(),
            },
            cert_dir: None,
        }),
        max_sessions,
        // Somebody may run `kubestash operator` against this server: only one of the two may work.
        leader_election: true,
        ready: Some(ready),
    };

    let provider = Part::start("database provider", stop, |token| {
        kubestash_kubedb::run(kubedb_config, token)
    });
    let node = Part::start("node", stop, |token| {
        kubestash_node::run(node_config, token)
    });
    let operator = Part::start("operator", stop, |token| {
        kubestash_operator::run(operator_config, token)
    });

    tokio::select! {
        ready = operator_is_ready => {
            // A part that failed has stopped everything; its error is told below.
            if ready.is_ok() {
                announce(kubeconfig)?;
            }
        }
        () = stop.cancelled() => {}
    }
    stop.cancelled().await;
    let mut outcome = Ok(());
    for part in [operator, node, provider] {
        outcome = part.stop().await.and(outcome);
    }
    outcome
}

/// Says, in one line on standard output, that everything is ready.
fn announce(kubeconfig: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "kubestash is ready: export KUBECONFIG={}",
        kubeconfig.display()
    )
    .and_then(|()| out.flush())
    .context("failed to print")
}

/// A part of the system, running on its own.
struct Part {
    name: &'static str,
    token: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Part {
    /// Starts a part; if it ends before it is told to, everything stops.
    fn start<F, E>(
        name: &'static str,
        stop: &CancellationToken,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let token = CancellationToken::new();
        let running = run(token.clone());
        let (told, everything) = (token.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let result = running.await;
            everything.cancel();
            match result {
                Ok(()) if told.is_cancelled() => Ok(()),
                Ok(()) => Err(anyhow!(
                    "failed to keep the {name} running: it ended by itself"
                )),
                Err(error) => {
                    Err(anyhow::Error::new(error).context(format!("failed to run the {name}")))
                }
            }
        });
        Self { name, token, task }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.token.cancel();
        self.task
            .await
            .with_context(|| format!("failed to stop the {}", self.name))?
    }
}

/// A client of our own API server: the administrator's, without a connection.
async fn client(server: &Server) -> anyhow::Result<kube::Client> {
    let kubeconfig =
        serde_json::from_value(server.kubeconfig()).context("failed to read our own kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(
        kubeconfig,
        &kube::config::KubeConfigOptions::default(),
    )
    .await
    .context("failed to read our own kubeconfig")?;
    let authorization = config.auth_layer().context("failed to use our own token")?;
    let service = ServiceBuilder::new()
        .option_layer(authorization)
        .map_err(BoxError::from)
        .service(server.local_service());
    Ok(kube::Client::new(service, config.default_namespace))
}

/// Lets this process have as many files open as it may: connections, databases and pods need many,
/// and the usual limit is meant for programs of another kind.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const ENOUGH: u64 = 1 << 16;
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(ENOUGH).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "failed to raise the limit of open files");
    }
}

/// Fires when standard input ends.
fn stop_on_eof(stop: CancellationToken) {
    tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        let mut ignored = [0; 64];
        while stdin.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
        stop.cancel();
    });
}

/// Makes the data directory. Other users may pass through it: the database servers are one.
fn make_root(data_dir: &Path) -> anyhow::Result<()> {
    let failed = || {
        format!(
            "failed to create the data directory {}; choose another with --data-dir",
            data_dir.display()
        )
    };
    fs::create_dir_all(data_dir).with_context(failed)?;
    fs::set_permissions(data_dir, fs::Permissions::from_mode(0o711)).with_context(failed)
}

/// Writes a file that only its owner can read, in one step.
fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let failed = || {
        format!(
            "failed to write {}; choose another file with --kubeconfig",
            path.display()
        )
    };
    // Always the same name: what a kill leaves of it is written over at the next start.
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&partial)))
        .with_context(failed)
}
