//! A dump of the database `shop`, and its restore as the executor does it.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use kubestash_database::{
    Connection, Dump, DumpRequest, Error, ExamineRequest, Family, LoadRequest, Outline, Outliner,
    Role, StreamError,
};
use tokio_util::sync::CancellationToken;

use crate::drain;

const WAIT: Duration = Duration::from_secs(20);

/// A dump, and what the client says it is.
pub(crate) async fn dump(to: &Connection, args: &str) -> Result<(Vec<u8>, String), Error> {
    let scratch = tempfile::tempdir().unwrap();
    let dump = begin(to, args, scratch.path()).await?;
    let version = dump.client_version.clone();
    let (data, result): (_, Result<_, StreamError>) = drain::drain(dump.stream).await;
    result.unwrap();
    Ok((data, version))
}

/// What a dump says that it leaves out, and what it warns of.
pub(crate) async fn remarks(to: &Connection, args: &str) -> (Vec<String>, Vec<String>) {
    let scratch = tempfile::tempdir().unwrap();
    let dump = begin(to, args, scratch.path()).await.unwrap();
    (dump.left_out, dump.warnings)
}

async fn begin(to: &Connection, args: &str, scratch: &Path) -> Result<Dump, Error> {
    Family::MySql
        .dump(DumpRequest {
            connection: to,
            role: &Role::Plain,
            databases: &["shop".to_owned()],
            args,
            default_args: false,
            program: "",
            scratch_dir: scratch,
            wait_timeout: WAIT,
            cancel: CancellationToken::new(),
        })
        .await
}

pub(crate) fn outline(dump: &[u8]) -> Outline {
    let mut outliner = Outliner::new(Family::MySql);
    outliner.write_all(dump).unwrap();
    outliner.take()
}

/// Looks at the server, and loads; the notes of the look.
pub(crate) async fn load(to: &Connection, dump: &[u8]) -> Result<Vec<String>, String> {
    let seen = outline(dump);
    let target = Family::MySql
        .examine(ExamineRequest {
            connection: to,
            role: &Role::Plain,
            source: Some("shop"),
            args: "",
            wait_timeout: WAIT,
        })
        .await
        .unwrap();
    let accepted = target.accepts(&seen).map_err(|error| error.to_string())?;
    for database in &accepted.missing {
        let created = Family::MySql.create_database(to, database, WAIT);
        created.await.unwrap();
    }
    let scratch = tempfile::tempdir_in("/tmp").unwrap();
    let started = Family::MySql
        .load(LoadRequest {
            connection: to,
            database: Some("shop"),
            role: &Role::Plain,
            outline: &seen,
            args: "",
            scratch_dir: scratch.path(),
            wait_timeout: WAIT,
        })
        .await
        .unwrap();
    let (mut sink, dump) = (started.sink, dump.to_vec());
    // A client that has given up closes its end; why, it says itself.
    let _ = tokio::task::spawn_blocking(move || sink.write_all(&dump))
        .await
        .unwrap();
    let finished = started.running.finish(&CancellationToken::new()).await;
    finished
        .map(|()| accepted.notes)
        .map_err(|error| error.to_string())
}
