//! Roles and tablespaces, which belong to a whole server, and dumps of whole servers by
//! `pg_dumpall`.
//!
//! They are loaded statement by statement, outside of a transaction: what is there already is left
//! as it is.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::sections::has_index;
use crate::aftermath::Aftermath;
use crate::load::{LoadClient, LoadError};
use crate::stderr_tail::LIMIT;

/// The beginning of a dump of a whole server, not made by us.
const CLUSTER: &str = "-- PostgreSQL database cluster dump";

/// Whether a dump that begins like this is one of a whole server, not made by us.
pub(super) fn is_cluster(head: &[u8]) -> bool {
    if has_index(head) {
        return false;
    }
    let head = String::from_utf8_lossy(&head[..head.len().min(1024)]);
    head.lines().any(|line| line == CLUSTER)
}

/// A psql that goes on after an error.
pub(super) struct Script {
    pub(super) client: LoadClient,
    pub(super) errors: JoinHandle<Option<String>>,
}

impl Script {
    /// Waits for its end.
    ///
    /// # Errors
    /// The first error that is not only about something that is there already.
    pub(super) async fn end(mut self, after: Aftermath) -> Result<(), LoadError> {
        let ended = self.client.wait(after.clone()).await;
        let first = self.errors.await.unwrap_or_default();
        match first {
            Some(reason) => Err(LoadError::Client {
                program: self.client.program.clone(),
                status: "an error in a statement".to_owned(),
                reason,
                permanent: true,
                after,
            }),
            None => ended,
        }
    }
}

/// Reads what psql says to its end; returns the first error that counts.
pub(super) fn first_error(
    stderr: ChildStderr,
    secret: Zeroizing<String>,
) -> JoinHandle<Option<String>> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).split(b'\n');
        let mut first = None;
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            if first.is_none() && counts(&line) {
                first = Some(line);
            }
        }
        let line = first?;
        let line = match secret.is_empty() {
            true => line,
            false => line.replace(secret.as_str(), "***"),
        };
        Some(line.chars().take(LIMIT).collect())
    })
}

/// Whether a line is an error, other than that a thing of the whole server is there already.
fn counts(line: &str) -> bool {
    let Some((_, error)) = line
        .split_once("ERROR:  ")
        .or_else(|| line.split_once("FATAL:  "))
    else {
        return false;
    };
    let there = ["role ", "tablespace ", "database "]
        .iter()
        .any(|what| error.starts_with(what) && error.ends_with(" already exists"));
    !(there || error == "current user cannot be dropped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_no_error() {
        let cases = [
            (
                "psql:<stdin>:14: ERROR:  role \"postgres\" already exists",
                false,
            ),
            (
                "psql:<stdin>:14: ERROR:  database \"x\" already exists",
                false,
            ),
            (
                "psql:<stdin>:14: ERROR:  current user cannot be dropped",
                false,
            ),
            (
                "psql:<stdin>:9: ERROR:  relation \"t\" already exists",
                true,
            ),
            (
                "psql:<stdin>:9: ERROR:  permission denied to create role",
                true,
            ),
            (
                "psql:<stdin>:9: NOTICE:  role \"x\" does not exist, skipping",
                false,
            ),
            ("psql: FATAL:  terminating connection", true),
        ];
        for (line, expected) in cases {
            assert_eq!(counts(line), expected, "{line}");
        }
        assert!(is_cluster(b"--\n-- PostgreSQL database cluster dump\n--\n"));
        assert!(!is_cluster(b"--\n-- PostgreSQL database dump\n--\n"));
    }
}
