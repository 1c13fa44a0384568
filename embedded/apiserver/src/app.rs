//! What all requests and controllers share.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admission::Webhooks;
use crate::auth::rbac::Rbac;
use crate::auth::token::Tokens;
use crate::data_dir::DataDir;
use crate::http::documents::Documents;
use crate::registry::catalogue::Catalogue;
use crate::store::{Change, GroupResource, Key, Object, Store};

/// The server's state.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) tokens: Tokens,
    pub(crate) rbac: Rbac,
    pub(crate) webhooks: Webhooks,
    pub(crate) documents: Documents,
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    /// Where the node writes the output of containers, see [`crate::logs`].
    pub(crate) pods_dir: PathBuf,
    /// Turns of what takes long to evaluate: rules of a schema, definitions.
    pub(crate) evaluations: Arc<Semaphore>,
    /// Fires when the server stops: watches and followed logs end.
    pub(crate) stop: CancellationToken,
    catalogue: RwLock<Arc<Catalogue>>,
    /// Locked as long as anything of the server may still run, or until it has been shut down.
    data_dir: Mutex<Option<DataDir>>,
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

impl App {
    /// Puts the parts together and makes the catalogue follow the store.
    pub(crate) fn new(
        store: Store,
        tokens: Tokens,
        address: SocketAddr,
        ca_pem: String,
        data_dir: DataDir,
    ) -> Arc<Self> {
        let pods_dir = data_dir.pods_dir();
        let catalogue = RwLock::new(Arc::new(Catalogue::new(&store)));
        let app = Arc::new(Self {
            store,
            tokens,
            rbac: Rbac::default(),
            webhooks: Webhooks::default(),
            documents: Documents::default(),
            address,
            ca_pem,
            pods_dir,
            evaluations: Arc::new(Semaphore::new(processors())),
            stop: CancellationToken::new(),
            catalogue,
            data_dir: Mutex::new(Some(data_dir)),
        });
        // The store belongs to the app: a strong reference would keep both alive for ever.
        let follower = Arc::downgrade(&app);
        app.store.observe(Box::new(move |changes| {
            if let Some(app) = follower.upgrade() {
                app.follow(changes);
            }
        }));
        app
    }

    /// Gives the data directory free; the store is closed.
    pub(crate) fn release(&self) {
        self.data_dir
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn follow(&self, changes: &[Change]) {
        if let Some(next) = self.catalogue().follow(changes) {
            *self
                .catalogue
                .write()
                .unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
    }

    /// What is served now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A namespace.
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<Object>> {
        self.store
            .get(&Key::new(&GroupResource::new("", "namespaces"), "", name))
    }
}
