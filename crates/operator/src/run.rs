//! Starting and stopping the operator.
//!
//! ```text
//!  watches ──filled──► webhook ──registered──► (Lease held) ──► controllers ──► ready
//!                                                                   │ shutdown, or Lease lost
//!  watches stopped ◄── webhook stopped ◄── running reconciles done ◄┘
//! ```

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{self, AdmissionError};
use crate::config::{OperatorConfig, WebhookConfig};
use crate::consent::{self, KeyError};
use crate::context::{Context, Watches};
use crate::controllers::{
    backupblueprint, backupconfiguration, backupsession, backupstorage, repository, restoresession,
    snapshot,
};
use crate::jobs;
use crate::runtime::attempt::Attempts;
use crate::runtime::events::Events;
use crate::runtime::leader::{self, LeaderError};
use crate::runtime::locks::Locks;
use crate::runtime::watch::Driver;
use crate::session::queue::Queue;
use crate::stores::Stores;

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The admission webhook could not be served or registered.
    #[error("failed to run the admission webhook")]
    Admission(#[from] AdmissionError),
    /// There is no key to sign with what authors may refer to.
    #[error("failed to prepare the check of references to other namespaces")]
    GrantKey(#[from] KeyError),
    /// The Lease was lost to another replica: this one must stop at once.
    #[error("failed to stay the leader")]
    Leader(#[from] LeaderError),
}

impl RunError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Admission(error) => error.kind(),
            Self::GrantKey(error) => error.kind(),
            Self::Leader(error) => error.kind(),
        }
    }
}

/// Runs the operator until `shutdown` fires; running reconciles are finished first.
///
/// # Errors
/// When the admission webhook cannot be served or registered, the key of grants cannot be read or
/// made, or the Lease is lost.
pub async fn run(config: OperatorConfig, shutdown: CancellationToken) -> Result<(), RunError> {
    let instance = std::env::var("POD_NAME").unwrap_or_else(|_| "kubestash-operator".to_owned());
    let key = consent::key::load(&config.client, &config.namespace, &shutdown).await?;
    let Some(key) = key else {
        return Ok(());
    };
    let account = consent::own_account(&config.client).await;
    let events = Arc::new(Events::new(config.client.clone(), instance.clone()));
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
        stores: Stores::default(),
        attempts: Attempts::default(),
        grants: Arc::new(key),
        account,
        locks: Locks::default(),
        queue: Queue::new(config.max_sessions),
        // A lost Lease stops this operator, not its caller.
        shutdown: shutdown.child_token(),
    });
    let lease = config.leader_election.then_some(instance);
    let outcome = serve(&ctx, config.webhook.as_ref(), lease, config.ready).await;
    driver.shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    outcome
}

async fn serve(
    ctx: &Arc<Context>,
    webhook: Option<&WebhookConfig>,
    lease: Option<String>,
    ready: Option<oneshot::Sender<()>>,
) -> Result<(), RunError> {
    if ctx
        .shutdown
        .run_until_cancelled(ctx.watches.ready())
        .await
        .is_none()
    {
        return Ok(());
    }
    let serving = match webhook {
        Some(config) => Some(admission::serve(ctx, config).await?),
        None => None,
    };
    let outcome = match lease {
        None => {
            controllers(ctx, ready).await;
            Ok(())
        }
        Some(instance) => lead(ctx, &instance, ready).await,
    };
    if let Some(serving) = serving {
        serving.stop().await;
    }
    outcome
}

async fn lead(
    ctx: &Arc<Context>,
    instance: &str,
    ready: Option<oneshot::Sender<()>>,
) -> Result<(), RunError> {
    let Some(held) = ctx
        .shutdown
        .run_until_cancelled(leader::acquire(ctx, instance))
        .await
    else {
        return Ok(());
    };
    let (kept, ()) = tokio::join!(
        async {
            let kept = held.keep(ctx).await;
            // Whether the Lease was lost or the operator was told to stop: nothing may be written
            // any more.
            ctx.shutdown.cancel();
            kept
        },
        controllers(ctx, ready),
    );
    Ok(kept?)
}

async fn controllers(ctx: &Arc<Context>, ready: Option<oneshot::Sender<()>>) {
    jobs::sweep::sweep(ctx).await;
    let tasks = TaskTracker::new();
    tasks.spawn(backupstorage::controller(Arc::clone(ctx)));
    tasks.spawn(repository::controller(Arc::clone(ctx)));
    tasks.spawn(snapshot::controller(Arc::clone(ctx)));
    tasks.spawn(backupblueprint::controller(Arc::clone(ctx)));
    tasks.spawn(backupconfiguration::controller(Arc::clone(ctx)));
    tasks.spawn(backupsession::controller(Arc::clone(ctx)));
    tasks.spawn(restoresession::controller(Arc::clone(ctx)));
    tasks.close();
    tracing::info!("the operator is ready");
    if let Some(ready) = ready {
        // Whoever asked may have stopped listening.
        let _ = ready.send(());
    }
    tasks.wait().await;
}
