//! Starting and stopping the server.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use zeroize::Zeroizing;

use crate::app::App;
use crate::auth::token::{TokenError, TokenRequest, Tokens};
use crate::connections::{self, Connections, Guard};
use crate::data_dir::{DataDir, DataDirError, create_private_dir};
use crate::local::LocalService;
use crate::pki::{self, PkiError};
use crate::registry::{Refused, now};
use crate::store::{Store, StoreError};
use crate::{bootstrap, controllers, http};

/// How long requests under way may take when the server stops; watches end at once.
const GRACE: Duration = Duration::from_secs(2);
/// How long a client may take to send the headers of a request, from its first byte or from the end
/// of the one before. No whole part of a minute: what clients do at such intervals must not meet
/// the end of their idle connection.
const HEADERS_WITHIN: Duration = Duration::from_secs(47);
/// How much of an answer is kept for a client that does not take it; longer headers are refused.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take to say
/// so.
const ALIVE_EVERY: Duration = Duration::from_secs(30);
/// How long a token from [`Server::service_account_token`] is good.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// What a server needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept; made if absent. One server at a time.
    pub data_dir: PathBuf,
    /// Where to listen; must be a loopback address. Port 0 takes a free one.
    pub bind: SocketAddr,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The address is not a loopback address.
    #[error("failed to listen on {0}: the server listens on loopback only, use 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("failed to listen on {address}: {source}; choose another port with --port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Keys or certificates are at fault.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The keys of tokens are at fault.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The objects that every cluster has could not be made.
    #[error("failed to create {what}: {why}")]
    Bootstrap {
        /// Kind and name.
        what: String,
        /// The cause.
        why: String,
    },
}

impl StartError {
    /// A stable word for the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DataDir(error) => error.kind(),
            Self::NotLoopback(_) => "NotLoopback",
            Self::Listen { .. } => "Listen",
            Self::Pki(error) => error.kind(),
            Self::Token(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Bootstrap { .. } => "Bootstrap",
        }
    }

    pub(crate) fn bootstrap(what: String, refused: &Refused) -> Self {
        Self::Bootstrap {
            what,
            why: refused.message.clone(),
        }
    }
}

/// A running server. Dropping it leaves it running for the life of the runtime; use
/// [`Server::shutdown`].
pub struct Server {
    app: Arc<App>,
    handle: Handle<SocketAddr>,
    serving: JoinHandle<std::io::Result<()>>,
    controllers: JoinSet<()>,
}

/// Starts a server and returns when it serves requests.
pub async fn start(config: Config) -> Result<Server, StartError> {
    if !config.bind.ip().is_loopback() {
        return Err(StartError::NotLoopback(config.bind));
    }
    let data_dir = DataDir::lock(&config.data_dir)?;
    let dir = data_dir.path().to_owned();
    create_private_dir(&data_dir.pods_dir())?;
    let (listener, address) = listen(config.bind)?;
    let opened = tokio::task::spawn_blocking(move || open(&dir, address.ip())).await;
    let (pki, tokens, store) = opened.map_err(|error| StartError::Bootstrap {
        what: "the store and its keys".to_owned(),
        why: error.to_string(),
    })??;
    let dir = data_dir.path().to_owned();
    let app = App::new(store, tokens, address, pki.ca_pem, data_dir);
    bootstrap::run(&app).await?;
    Store::settle(&dir)?;
    let controllers = controllers::start(&app);
    let handle = Handle::new();
    let serving = serve(&app, listener, pki.tls, handle.clone())
        .map_err(|source| StartError::Listen { address, source })?;
    Ok(Server {
        app,
        handle,
        serving,
        controllers,
    })
}

fn listen(bind: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        address: bind,
        source,
    };
    let listener = TcpListener::bind(bind).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The parts that read files.
fn open(dir: &Path, ip: IpAddr) -> Result<(pki::Pki, Tokens, Store), StartError> {
    // First, for it looks whether there are keys already.
    let store = Store::open(dir)?;
    let pki_dir = dir.join("pki");
    create_private_dir(&pki_dir)?;
    Ok((pki::load(&pki_dir, ip)?, Tokens::load(&pki_dir)?, store))
}

fn serve(
    app: &Arc<App>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handle: Handle<SocketAddr>,
) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    let guard = Guard(Connections::new(connections::limit()));
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls)).acceptor(guard);
    let mut server = axum_server::from_tcp(listener)?
        .acceptor(acceptor)
        .first_request_timeout(HEADERS_WITHIN)
        .accept_error_handler(|_, error| tracing::debug!(%error, "a connection was refused"))
        .handle(handle);
    let builder = server.http_builder();
    builder
        .http1()
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        // A client keeps all its watches on one HTTP/2 connection.
        .max_concurrent_streams(1000)
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_EVERY);
    let service = http::router(app.clone()).into_make_service();
    Ok(tokio::spawn(server.serve(service)))
}

impl Server {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.app.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.app.address)
    }

    /// Its requests without a connection, for clients in the same process.
    pub fn local_service(&self) -> LocalService {
        LocalService::new(http::router(self.app.clone()))
    }

    /// The certificate of its authority, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.app.ca_pem
    }

    /// The token of the administrator (`system:masters`).
    pub fn admin_token(&self) -> Zeroizing<String> {
        self.app.tokens.admin()
    }

    /// Where the node writes the output of containers, see [`crate::logs`].
    pub fn pods_dir(&self) -> &Path {
        &self.app.pods_dir
    }

    /// A token of a ServiceAccount, good for a day.
    pub fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Zeroizing<String>, TokenError> {
        let request = TokenRequest {
            audiences: Vec::new(),
            seconds: TOKEN_SECONDS,
            pod: None,
        };
        let (token, _) =
            self.app
                .tokens
                .issue(&self.app.store, namespace, name, &request, now())?;
        Ok(token)
    }

    /// A kubeconfig of the administrator: URL, CA and token, context `kubestash`. It holds a
    /// secret.
    pub fn kubeconfig(&self) -> Value {
        self.kubeconfig_for(&self.admin_token())
    }

    /// A kubeconfig with another token.
    pub fn kubeconfig_for(&self, token: &str) -> Value {
        use base64::Engine;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.app.ca_pem);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "kubestash",
                "cluster": {"server": self.url(), "certificate-authority-data": ca},
            }],
            "users": [{"name": "kubestash", "user": {"token": token}}],
            "contexts": [{"name": "kubestash", "context": {"cluster": "kubestash", "user": "kubestash"}}],
            "current-context": "kubestash",
        })
    }

    /// Ends watches, gives other requests a moment, and closes the store. All acknowledged writes
    /// are on disk anyway.
    pub async fn shutdown(mut self) {
        self.app.stop.cancel();
        self.handle.graceful_shutdown(Some(GRACE));
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the listener ended with an error"),
            Err(error) => tracing::error!(%error, "the listener ended abnormally"),
        }
        while let Some(ended) = self.controllers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a controller ended abnormally");
            }
        }
        let app = self.app.clone();
        let closed = tokio::task::spawn_blocking(move || app.store.close()).await;
        if closed.is_err() {
            tracing::error!("the store was not closed");
        }
        self.app.release();
    }
}
