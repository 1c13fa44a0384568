//! A backup: one stream, the dump of a database or its manifests, into all repositories of a
//! session, and reported.
//!
//! ```text
//!   dereference ──► plan ──► look, repair ──► dump ═╦═► repository 1 ──► file beside the data ──► status
//!   (all reads)     (pure)   (each repository)      ╚═► repository 2 ──► …
//! ```
//! Invariants:
//! - Whoever reads a Snapshot that says Succeeded finds its data and its file: each is durable
//!   before the next is written, and the status comes last.
//! - An attempt can be the first or come after one that was killed at any moment ([`plan`]).
//! - Each repository has its own outcome; the dump is read once.

mod dereference;
mod dump;
mod finish;
mod plan;
mod report;
mod source;
mod task;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dereference::{Source, Target, World};
use finish::Finish;
use futures::future::join_all;
use kubestash_api::storage::Snapshot;
use kubestash_engine::{CancellationToken, Repository as _, ResticRepository};
use plan::Todo;
pub use plan::uid_tag;
use report::Stored;
pub use task::Task;

use crate::arguments::component_path;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::retention;
use crate::settings::Settings;
use crate::store::Store;
use crate::waiting::Waiting;

/// Time that is left to report after the Job was told to stop.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Backs up, reports, and applies retention if this is the session's last task.
///
/// # Errors
/// Every failure, each already reported where it belongs; none if all went well.
pub async fn run(
    cluster: &Cluster,
    settings: &Settings,
    task: Task<'_>,
    cancel: &CancellationToken,
) -> Result<(), Vec<Failure>> {
    let world = dereference::dereference(cluster, settings, task)
        .await
        .map_err(|f| vec![f])?;
    let World {
        session,
        configuration,
        targets,
        source,
    } = world;
    let waiting = Waiting::begin(cluster, &session);
    let mut failures = Vec::new();
    let mut works = Vec::new();
    let mut stores = Vec::new();
    for target in targets {
        let Target {
            info,
            snapshot,
            store,
        } = target;
        let store = store.map(|store| store.observed(waiting.locks()));
        stores.push((info.clone(), store.clone()));
        match snapshot {
            Err(failure) => {
                tracing::error!("{}: {failure}", info.name);
                failures.push(failure);
            }
            Ok(snapshot) => {
                let path = component_path(
                    &snapshot.spec.version,
                    &snapshot.spec.session,
                    task.component(),
                );
                let name = info.name.clone();
                works.push(Work {
                    cluster,
                    name,
                    snapshot,
                    path,
                    task,
                    store,
                });
            }
        }
    }
    let outcomes = back_up(task, works, source, cancel).await;
    failures.extend(outcomes.into_iter().flatten());
    if task.is_last() && !cancel.is_cancelled() {
        let applied = retention::apply(cluster, &session, &configuration, &stores, cancel).await;
        failures.extend(applied.err());
    }
    waiting.end().await;
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

/// The work for one repository.
struct Work<'a> {
    cluster: &'a Cluster,
    name: String,
    snapshot: Snapshot,
    path: String,
    task: Task<'a>,
    store: Result<Store, Failure>,
}

/// A repository that is open, and what is left to do for it.
struct Opened<'a> {
    work: Work<'a>,
    store: Store,
    repository: Arc<ResticRepository>,
    todo: Todo,
}

/// One failure for each repository that has one.
async fn back_up(
    task: Task<'_>,
    works: Vec<Work<'_>>,
    source: Result<Source<'_>, Failure>,
    cancel: &CancellationToken,
) -> Vec<Option<Failure>> {
    let started = Instant::now();
    let (done, works): (Vec<_>, Vec<_>) = works
        .into_iter()
        .partition(|work| plan::recorded(&work.snapshot, task.component()) == Some(Todo::Nothing));
    for work in &done {
        tracing::info!("{}: already done by an earlier attempt", work.name);
    }
    if works.is_empty() {
        return Vec::new();
    }
    // A dump client that has to wait for the repositories loses its connection: they come first.
    let opened = join_all(works.into_iter().map(|work| open(work, cancel))).await;
    let is_wanted = |opened: &Opened<'_>| opened.todo == Todo::Dump;
    let wanted = opened
        .iter()
        .any(|opened| opened.as_ref().is_ok_and(is_wanted));
    let dump = match source {
        // A database that does not answer is not waited for when nobody needs it.
        _ if !wanted => Err(dump::NoDump::of(Failure::cancelled())),
        Ok(source) => dump::start(task, source, cancel).await,
        Err(failure) => Err(dump::NoDump::of(failure)),
    };

    let mut outcomes = Vec::new();
    let (mut stored, mut to_dump) = (Vec::new(), Vec::new());
    for opened in opened {
        match opened {
            Ok(opened) if opened.todo == Todo::Dump => to_dump.push(opened),
            Ok(opened) => stored.push(opened),
            Err((work, failure)) => outcomes.push(Some(work.fail(failure).await)),
        }
    }
    let adopted = join_all(stored.into_iter().map(|opened| opened.adopt(started)));
    let dumped = dump_into(to_dump, dump, started, cancel);
    let (adopted, dumped) = tokio::join!(adopted, dumped);
    outcomes.extend(adopted);
    outcomes.extend(dumped);
    outcomes
}

/// Opens the repository of a work and looks how far an earlier attempt came. If there is something
/// to dump, what the backup will rely on is looked at and put right.
async fn open<'a>(
    work: Work<'a>,
    cancel: &CancellationToken,
) -> Result<Opened<'a>, (Work<'a>, Failure)> {
    let opened = async {
        let store = work.store.clone()?;
        let repository = store.open_or_init(work.cluster, &work.path).await?;
        let todo = match plan::recorded(&work.snapshot, work.task.component()) {
            Some(todo) => todo,
            None => plan::stored(&work.snapshot, &repository.snapshots().await?),
        };
        if todo == Todo::Dump {
            let prepared = repository.prepare(work.task.read_back(), cancel.clone());
            prepared.await?;
        }
        Ok((store, repository, todo))
    };
    match opened.await {
        Ok((store, repository, todo)) => {
            tracing::info!(
                "{}: opened the repository at {}",
                work.name,
                repository.location()
            );
            Ok(Opened {
                work,
                store,
                repository,
                todo,
            })
        }
        Err(failure) => Err((work, failure)),
    }
}

/// Streams the dump into the repositories and finishes each.
async fn dump_into(
    opened: Vec<Opened<'_>>,
    dump: Result<dump::Running, dump::NoDump>,
    started: Instant,
    cancel: &CancellationToken,
) -> Vec<Option<Failure>> {
    if opened.is_empty() {
        return Vec::new();
    }
    let dump = match dump {
        Ok(dump) => dump,
        Err(no_dump) => {
            let failures = opened.iter().map(|opened| async {
                let failure = no_dump.for_repository(&opened.repository).await;
                opened.work.fail(failure).await
            });
            return join_all(failures).await.into_iter().map(Some).collect();
        }
    };
    let (opened, refused) = match dump.is_empty() {
        true => never_held(opened).await,
        false => (opened, Vec::new()),
    };
    if opened.is_empty() {
        return refused;
    }
    // Shown while it lasts, and takes the reason of an earlier attempt away.
    let remarks = dump.remarks().clone();
    let beginnings = join_all(opened.iter().map(|opened| opened.work.begin(&remarks)));
    let destinations = opened
        .iter()
        .map(|opened| (Arc::clone(&opened.repository), opened.work.snapshot.clone()))
        .collect();
    let (results, _) = tokio::join!(dump::into_all(dump, destinations, cancel), beginnings);
    let finishing = opened
        .into_iter()
        .zip(results)
        .map(|(opened, result)| async move {
            match result {
                Ok(stored) => opened.finish(stored, Vec::new(), started).await,
                Err(failure) => Some(opened.work.fail(failure).await),
            }
        });
    let mut outcomes = join_all(finishing).await;
    outcomes.extend(refused);
    outcomes
}

/// The repositories that a server without a database may go into, and the failures of the others.
async fn never_held(opened: Vec<Opened<'_>>) -> (Vec<Opened<'_>>, Vec<Option<Failure>>) {
    let (mut fit, mut refused) = (Vec::new(), Vec::new());
    for opened in opened {
        match dump::never_held(&opened.repository).await {
            Ok(()) => fit.push(opened),
            Err(failure) => refused.push(Some(opened.work.fail(failure).await)),
        }
    }
    (fit, refused)
}

impl Opened<'_> {
    /// Records what an earlier attempt stored.
    async fn adopt(self, started: Instant) -> Option<Failure> {
        match self.todo.clone() {
            Todo::Adopt {
                id,
                made,
                databases,
                surplus,
            } => {
                tracing::info!(
                    "{}: restic snapshot {id} of an earlier attempt is complete, using it",
                    self.work.name
                );
                match dump::size_of(&self.repository, &id, self.work.task.file()).await {
                    Ok(size) => {
                        let stored = Stored {
                            id,
                            size,
                            uploaded: made.map(|made| made.data_added),
                            started: made.map(|made| made.started),
                            finished: made.map(|made| made.finished),
                            examined: None,
                            databases,
                            remarks: report::Remarks::recorded(
                                &self.work.snapshot,
                                self.work.task.component(),
                            ),
                        };
                        self.finish(stored, surplus, started).await
                    }
                    Err(failure) => Some(self.work.fail(failure).await),
                }
            }
            _ => {
                tracing::info!(
                    "{}: stored by an earlier attempt, publishing it",
                    self.work.name
                );
                self.finishing().publish_recorded().await.err()
            }
        }
    }

    /// Publishes and reports a durable restic snapshot, and what is known of the repository.
    async fn finish(
        self,
        stored: Stored,
        surplus: Vec<String>,
        started: Instant,
    ) -> Option<Failure> {
        let what = report::what(self.work.task.component(), &stored);
        match self.finishing().all(stored, surplus, started).await {
            Ok(()) => {
                tracing::info!(
                    "{}: Snapshot {} succeeded, {what}",
                    self.work.name,
                    self.work.snapshot_name()
                );
                None
            }
            Err(failure) => Some(self.work.fail(failure).await),
        }
    }

    fn finishing(&self) -> Finish<'_> {
        Finish {
            cluster: self.work.cluster,
            snapshot: &self.work.snapshot,
            task: self.work.task,
            path: &self.work.path,
            store: &self.store,
            repository: &self.repository,
        }
    }
}

impl Work<'_> {
    fn snapshot_name(&self) -> &str {
        self.snapshot.metadata.name.as_deref().unwrap_or_default()
    }

    /// Says that the component is being made.
    async fn begin(&self, remarks: &report::Remarks) {
        let component = self.task.component();
        let status = report::attempt(&self.snapshot, component, &self.path, Ok(remarks));
        if let Err(error) = self.cluster.apply_status(&self.snapshot, &status).await {
            tracing::warn!("{}: {error}", self.name);
        }
    }

    /// Says why this attempt failed, in the Snapshot; the reason is also the last line of the log.
    async fn fail(&self, failure: Failure) -> Failure {
        tracing::error!("{}: the backup failed", self.name);
        let status = report::attempt(
            &self.snapshot,
            self.task.component(),
            &self.path,
            Err(&failure),
        );
        let reporting = self.cluster.apply_status(&self.snapshot, &status);
        match tokio::time::timeout(LAST_WORDS, reporting).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!("{}: {error}", self.name),
            Err(_) => tracing::error!("{}: the API server did not take the reason", self.name),
        }
        failure
    }
}
