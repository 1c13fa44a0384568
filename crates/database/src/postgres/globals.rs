//! Roles and tablespaces, which belong to a whole server, and dumps of whole servers by `pg_dumpall`.
//!
//! They are loaded statement by statement, outside of a transaction: what is there already is left as it is. The
//! password of the user who restores is not changed, or the next connection would fail.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::identifier;
use super::sections::has_index;
use crate::load::{LoadClient, LoadError};
use crate::stderr_tail::LIMIT;
use crate::stream::Filter;

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

/// Leaves a role's password out of the statements that set its attributes.
pub(super) struct OwnPassword {
    starts: [String; 2],
    held: BytesMut,
    past: bool,
}

impl OwnPassword {
    /// For the user who restores.
    pub(super) fn of(user: &str) -> Self {
        Self {
            starts: [
                format!("ALTER ROLE {user} WITH "),
                format!("ALTER ROLE {} WITH ", identifier(user)),
            ],
            held: BytesMut::new(),
            past: false,
        }
    }

    fn line(&mut self, line: &[u8], out: &mut BytesMut) {
        // Roles come before the databases, and nothing in a database's data is a statement of ours.
        self.past |= line.starts_with(b"\\connect ") || line == b"-- Databases\n";
        let text = String::from_utf8_lossy(line);
        let own = self.starts.iter().any(|start| text.starts_with(start));
        match without_password(&text).filter(|_| own && !self.past) {
            Some(changed) => out.extend_from_slice(changed.as_bytes()),
            None => out.extend_from_slice(line),
        }
    }
}

impl Filter for OwnPassword {
    fn pass(&mut self, data: BytesMut) -> Bytes {
        if self.past && self.held.is_empty() {
            return data.freeze();
        }
        self.held.extend_from_slice(&data);
        let mut out = BytesMut::new();
        while let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
            if self.past {
                break;
            }
            let line = self.held.split_to(end + 1);
            self.line(&line, &mut out);
        }
        if self.past {
            out.extend_from_slice(&self.held.split());
        }
        out.freeze()
    }

    fn end(&mut self) -> Bytes {
        let rest = self.held.split();
        let mut out = BytesMut::new();
        self.line(&rest, &mut out);
        out.freeze()
    }
}

/// The statement without ` PASSWORD '…'`.
fn without_password(statement: &str) -> Option<String> {
    const WORD: &str = " PASSWORD '";
    let start = statement.find(WORD)?;
    let rest = &statement[start + WORD.len()..];
    let end = rest.find('\'')?;
    Some(format!("{}{}", &statement[..start], &rest[end + 1..]))
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
    pub(super) async fn end(mut self) -> Result<(), LoadError> {
        let ended = self.client.wait(false).await;
        let first = self.errors.await.unwrap_or_default();
        match first {
            Some(reason) => Err(LoadError::Client {
                program: self.client.program.clone(),
                status: "an error in a statement".to_owned(),
                reason,
                permanent: true,
                undone: false,
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

    fn filtered(user: &str, text: &str, chunk: usize) -> String {
        let mut filter = OwnPassword::of(user);
        let mut out = Vec::new();
        for part in text.as_bytes().chunks(chunk) {
            out.extend_from_slice(&filter.pass(BytesMut::from(part)));
        }
        out.extend_from_slice(&filter.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_the_password_of_the_user_who_restores_is_left_out() {
        let text = "CREATE ROLE postgres;\n\
            ALTER ROLE postgres WITH SUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a' VALID UNTIL 'x';\n\
            ALTER ROLE alice WITH LOGIN PASSWORD 'md5x';\n\
            ALTER ROLE \"Od d\" WITH LOGIN PASSWORD 'md5y';\n\
            \\connect a\n\
            ALTER ROLE postgres WITH PASSWORD 'data';\nlast";
        let own = text.replace(" PASSWORD 'SCRAM-SHA-256$4096:a'", "");
        let odd = text.replace(" PASSWORD 'md5y'", "");
        for chunk in [1, 5, 1000] {
            assert_eq!(filtered("postgres", text, chunk), own);
            assert_eq!(filtered("Od d", text, chunk), odd);
            assert_eq!(filtered("other", text, chunk), text);
        }
    }

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
