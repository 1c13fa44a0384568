//! What runs inside a session's Job: dump, engine, report, retention.
//!
//! ```text
//!   arguments ─► backup ──► database (dump)  ─► engine (restic) ─► Snapshot's status
//!   (pure)    │    └─► retention ─► engine (forget, prune)      ─► BackupSession's status
//!             ├► restore ─► engine (restic) ─► database (load)  ─► RestoreSession's status
//!             ├► manifest: the same for the Kubernetes objects around a database
//!             └► cleanup: what a `local` storage needs done in a pod
//! ```
//! It speaks to the Kubernetes API with the rights of the Job's ServiceAccount and knows nothing of
//! where it runs. Decisions are pure ([`arguments`], the plan and the report of a backup, the
//! selection of retention); the rest reads and writes.
//!
//! The exit code says what the Job may do: 0 done, 64 failed for good, 1 failed and worth another
//! attempt.

pub mod arguments;
pub mod backup;
pub mod cleanup;
pub mod cluster;
mod database;
pub mod failure;
pub mod log;
mod manifest;
pub mod restore;
pub mod retention;
pub mod settings;
pub mod store;
mod waiting;

use arguments::Command;
use cluster::Cluster;
use failure::Failure;
use kube::Client;
use kubestash_engine::CancellationToken;
use settings::Settings;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `kubestash execute <args>` and returns the exit code of the process.
///
/// SIGTERM and Ctrl-C cancel: nothing half made stays, and the reason is reported.
pub async fn main(args: Vec<String>) -> u8 {
    log::start();
    log::report_panics();
    let cancel = CancellationToken::new();
    if let Err(error) = cancel_on_signals(&cancel) {
        return end(&[Failure::transient(
            "Signals",
            format!("failed to listen to signals: {error}"),
        )]);
    }
    let client = match Client::try_default().await {
        Ok(client) => client,
        Err(error) => {
            let message =
                format!("failed to reach the Kubernetes API as this pod's ServiceAccount: {error}");
            return end(&[Failure::transient("ApiFailed", message)]);
        }
    };
    end(&run(client, &Settings::of_pod(), &args, &cancel).await)
}

/// The same with a client, settings and a way to cancel; returns every failure.
pub async fn run(
    client: Client,
    settings: &Settings,
    args: &[String],
    cancel: &CancellationToken,
) -> Vec<Failure> {
    let arguments = match arguments::parse(args) {
        Ok(arguments) => arguments,
        Err(error) => return vec![error.into()],
    };
    for flag in &arguments.unused {
        tracing::info!("--{flag} has no effect here");
    }
    let cluster = Cluster::new(client);
    // In a box: what a backup or a restore keeps while it waits is too large to be moved from stack
    // frame to stack frame.
    let work = Box::pin(command(&cluster, settings, &arguments.command, cancel));
    work.await.err().unwrap_or_default()
}

/// Each in a box of its own, or every one would be as large as the largest.
async fn command(
    cluster: &Cluster,
    settings: &Settings,
    command: &Command,
    cancel: &CancellationToken,
) -> Result<(), Vec<Failure>> {
    let one = |failure| vec![failure];
    match command {
        Command::Backup(backup) => {
            let task = backup::Task::Dump(backup);
            Box::pin(backup::run(cluster, settings, task, cancel)).await
        }
        Command::ManifestBackup(backup) => {
            let task = backup::Task::Manifests(backup);
            Box::pin(backup::run(cluster, settings, task, cancel)).await
        }
        Command::Restore(restore) => Box::pin(restore::run(cluster, settings, restore, cancel))
            .await
            .map_err(one),
        Command::ManifestRestore(restore) => {
            Box::pin(manifest::restore(cluster, settings, restore, cancel))
                .await
                .map_err(one)
        }
        command => Box::pin(other(cluster, settings, command, cancel))
            .await
            .map_err(one),
    }
}

async fn other(
    cluster: &Cluster,
    settings: &Settings,
    command: &Command,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let work = async {
        match command {
            // These report before they end, also when they are stopped.
            Command::Backup(_)
            | Command::ManifestBackup(_)
            | Command::Restore(_)
            | Command::ManifestRestore(_) => Ok(()),
            Command::StorageInit(object) => cleanup::init_storage(cluster, settings, object).await,
            Command::StorageCleanup(object) => {
                cleanup::clean_storage(cluster, settings, object).await
            }
            Command::SnapshotCleanup(object) => {
                Box::pin(cleanup::clean_snapshot(cluster, settings, object, cancel)).await
            }
            Command::RepositoryCleanup(object) => {
                cleanup::clean_repository(cluster, settings, object).await
            }
        }
    };
    tokio::select! {
        result = work => result,
        // Each of these can be repeated, wherever it was stopped.
        () = cancel.cancelled() => Err(Failure::cancelled()),
    }
}

/// Says why, as the last line of the log and only there, and returns the exit code.
pub fn end(failures: &[Failure]) -> u8 {
    let code = Failure::exit_code(failures);
    let mut said: Vec<&str> = Vec::new();
    for failure in failures {
        if !said.contains(&failure.message.as_str()) {
            said.push(&failure.message);
        }
    }
    match code {
        0 => tracing::info!("done"),
        _ => tracing::error!("{}", said.join("; ")),
    }
    code
}

fn cancel_on_signals(cancel: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let cancel = cancel.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                tracing::warn!("stopping");
                cancel.cancel();
            }
        });
    }
    Ok(())
}
