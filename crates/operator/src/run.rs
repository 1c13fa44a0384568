//! Starting and stopping the operator.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::OperatorConfig,
    context::{Context, Watches},
    events::Events,
    watch::Driver,
};

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The admission webhook could not be served or registered.
    #[error("failed to run the admission webhook")]
    Admission(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl RunError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Admission(_) => "AdmissionFailed",
        }
    }
}

/// Runs the operator until `shutdown` fires; running reconciles are finished first.
///
/// # Errors
/// When the admission webhook cannot be served or registered.
pub async fn run(config: OperatorConfig, shutdown: CancellationToken) -> Result<(), RunError> {
    let instance = std::env::var("POD_NAME").unwrap_or_else(|_| "kubestash-operator".to_owned());
    let events = Arc::new(Events::new(config.client.clone(), instance));
    let tasks = TaskTracker::new();
    let driver = Driver {
        client: config.client.clone(),
        events: Arc::clone(&events),
        // The watches outlive the controllers, so that the last reconciles do not see stale stores.
        shutdown: CancellationToken::new(),
        tasks: tasks.clone(),
    };
    let watches = Watches::start(&driver);
    let ctx = Arc::new(Context {
        client: config.client,
        namespace: config.namespace,
        image: config.image,
        environment: config.environment,
        events,
        watches,
        shutdown: shutdown.clone(),
    });
    let outcome = controllers(&ctx, config.ready).await;
    driver.shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    outcome
}

async fn controllers(
    ctx: &Arc<Context>,
    ready: Option<tokio::sync::oneshot::Sender<()>>,
) -> Result<(), RunError> {
    if ctx.shutdown.run_until_cancelled(ctx.watches.ready()).await.is_none() {
        return Ok(());
    }
    if let Some(ready) = ready {
        // Whoever asked may have stopped listening.
        let _ = ready.send(());
    }
    ctx.shutdown.cancelled().await;
    Ok(())
}
