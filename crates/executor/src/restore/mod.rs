//! A restore: one component of a Snapshot, streamed out of its repository into the target's
//! database.
//!
//! ```text
//!   dereference ──► preflight ─┬─ repository: opens, all data there and readable ─┐
//!   (all reads)                └─ database: answers, takes writes, fits the dump ─┴─► load ──► status
//! ```
//! Invariants:
//! - Nothing is written to the database before everything that can be known beforehand is known to
//!   be well.
//! - A dump that breaks off never looks like one that is complete: the client is ended before its
//!   input is.
//! - The session says why an attempt failed before the process ends; only the operator says that it
//!   was the last one.

mod awaited;
mod dereference;
mod load;
mod preflight;
mod report;

use std::time::{Duration, Instant};

pub(crate) use dereference::stored;
use kubestash_api::core::{RestoreComponentStatus, RestorePhase, RestoreSession};
use kubestash_api::shared::Condition;
use kubestash_domain::format;
use kubestash_engine::CancellationToken;
pub(crate) use preflight::read;
pub(crate) use report::unedited;

use crate::arguments::{Object, Restore};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::log::listed;
use crate::settings::Settings;
use crate::waiting::Waiting;

/// Time that is left to report after the Job was told to stop.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Restores and reports.
///
/// # Errors
/// The failure, which is already reported.
pub async fn run(
    cluster: &Cluster,
    settings: &Settings,
    restore: &Restore,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let session = (&restore.session, restore.component);
    reported(cluster, session, async |session| {
        let (bytes, notes) = Box::pin(attempt(cluster, settings, restore, session, cancel)).await?;
        Ok(Restored {
            bytes,
            notes,
            said: None,
        })
    })
    .await
}

/// What an attempt has restored.
pub(crate) struct Restored {
    /// How many bytes.
    pub(crate) bytes: u64,
    /// What there is to know of it.
    pub(crate) notes: Vec<String>,
    /// A condition that it sets.
    pub(crate) said: Option<Condition>,
}

/// Does the work for a component of a session, unless an earlier attempt did, and reports how it
/// went.
///
/// # Errors
/// The failure, which is already reported.
pub(crate) async fn reported(
    cluster: &Cluster,
    (object, component): (&Object, &'static str),
    attempt: impl AsyncFnOnce(&RestoreSession) -> Result<Restored, Failure>,
) -> Result<(), Failure> {
    let started = Instant::now();
    let session: RestoreSession = cluster
        .get(&object.namespace, &object.name, "--restoresession")
        .await?;
    if report::is_done(&session, component) {
        tracing::info!("already restored by an earlier attempt");
        return Ok(());
    }
    let work = Work {
        cluster,
        session,
        component,
    };
    // Shown while it lasts, and takes the reason of an earlier attempt away.
    work.tell(report::running(None)).await;
    match attempt(&work.session).await {
        Ok(Restored { bytes, notes, said }) => {
            let took = started.elapsed();
            for note in &notes {
                tracing::info!("{note}");
            }
            work.report(report::succeeded(took, notes), said).await?;
            tracing::info!(
                "restored {} in {}",
                format::bytes(bytes),
                format::go_duration(took)
            );
            Ok(())
        }
        Err(failure) => {
            // The reason itself is the last line of the log.
            let telling = work.tell(report::running(Some(&failure)));
            if tokio::time::timeout(LAST_WORDS, telling).await.is_err() {
                tracing::error!("the API server did not take the reason");
            }
            Err(failure)
        }
    }
}

/// Bytes that were loaded, and what there is to know of them.
async fn attempt(
    cluster: &Cluster,
    settings: &Settings,
    restore: &Restore,
    session: &RestoreSession,
    cancel: &CancellationToken,
) -> Result<(u64, Vec<String>), Failure> {
    let waiting = Waiting::begin(cluster, session);
    let result = Box::pin(observed(
        cluster, settings, restore, session, &waiting, cancel,
    ));
    let result = result.await;
    waiting.end().await;
    result
}

async fn observed(
    cluster: &Cluster,
    settings: &Settings,
    restore: &Restore,
    session: &RestoreSession,
    waiting: &Waiting,
    cancel: &CancellationToken,
) -> Result<(u64, Vec<String>), Failure> {
    let before = async {
        report::unedited(session)?;
        let mut world = dereference::dereference(cluster, settings, restore, session).await?;
        world.store = world.store.observed(waiting.locks());
        let ready = preflight::preflight(restore, &world).await?;
        Ok::<_, Failure>((world, ready))
    };
    let (world, ready) = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(preflight::untouched(stopped())),
        result = before => result.map_err(preflight::untouched)?,
    };
    let what = format!(
        "restic snapshot {} of Snapshot {} into {}",
        ready.id,
        restore.snapshot,
        listed(&ready.databases)
    );
    let bytes = load::load(restore, &world, ready, cancel).await?;
    tracing::info!("loaded {what}");
    if let Some(made) = &world.made {
        awaited::release(cluster, made).await?;
    }
    Ok((bytes, report::notes(&world.left_out, &world.database.role)))
}

pub(crate) fn stopped() -> Failure {
    Failure::transient("Cancelled", "failed to finish: the Job was stopped")
}

/// Where results go.
struct Work<'a> {
    cluster: &'a Cluster,
    session: RestoreSession,
    component: &'static str,
}

impl Work<'_> {
    /// Reports, and leaves it at a line in the log if that fails.
    async fn tell(&self, status: RestoreComponentStatus) {
        if let Err(failure) = self.report(status, None).await {
            tracing::warn!("{failure}");
        }
    }

    async fn report(
        &self,
        status: RestoreComponentStatus,
        said: Option<Condition>,
    ) -> Result<(), Failure> {
        debug_assert_ne!(status.phase, Some(RestorePhase::Failed));
        let status = report::with(&self.session, self.component, status, said);
        self.cluster.apply_status(&self.session, &status).await?;
        Ok(())
    }
}
