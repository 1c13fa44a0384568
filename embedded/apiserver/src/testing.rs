//! Servers for tests: each its own, in a temporary directory, on an ephemeral port.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::server::{Config, Server, StartError, start};

/// Why a test server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TestServerError {
    /// The temporary directory or a file in it cannot be made.
    #[error("failed to create a temporary directory for a server: {0}")]
    Directory(#[from] std::io::Error),
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl TestServerError {
    /// A stable word for the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Directory(_) => "Directory",
            Self::Start(error) => error.kind(),
        }
    }
}

/// A server in a temporary directory, which goes with it. It can be used as a [`Server`].
pub struct TestServer {
    server: Server,
    directory: tempfile::TempDir,
}

impl TestServer {
    /// Starts a server on an ephemeral port of 127.0.0.1.
    pub async fn start() -> Result<Self, TestServerError> {
        let directory = tempfile::tempdir()?;
        let server = start(config(directory.path())).await?;
        Ok(Self { server, directory })
    }

    /// Stops the server and starts another on the same data (and another port).
    pub async fn restart(self) -> Result<Self, TestServerError> {
        let Self { server, directory } = self;
        server.shutdown().await;
        let server = start(config(directory.path())).await?;
        Ok(Self { server, directory })
    }

    /// The temporary directory; the server's data is in `data`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the administrator's kubeconfig to a file and returns its path, for `kubectl
    /// --kubeconfig`.
    pub fn write_kubeconfig(&self) -> Result<PathBuf, TestServerError> {
        let path = self.directory.path().join("kubeconfig");
        std::fs::write(&path, self.server.kubeconfig().to_string())?;
        Ok(path)
    }

    /// Stops the server and removes the directory.
    pub async fn stop(self) {
        self.server.shutdown().await;
    }
}

impl Deref for TestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

fn config(directory: &Path) -> Config {
    Config {
        data_dir: directory.join("data"),
        bind: ([127, 0, 0, 1], 0).into(),
    }
}
