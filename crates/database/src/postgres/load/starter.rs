//! Starting the clients of a load, all with the same options.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::super::client::Client;
use super::super::dump::judge;
use super::super::fence;
use super::super::globals::{self, Script};
use super::super::service::Service;
use super::conductor::{Session, answers};
use crate::connection::Connection;
use crate::load::LoadClient;
use crate::lowered::Lowered;
use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;
use crate::stream::collect;

/// What every psql is told.
pub(super) const ALWAYS: [&str; 5] = [
    "--no-psqlrc",
    "--no-password",
    "--quiet",
    "--tuples-only",
    "--no-align",
];
/// Ends at the first error.
pub(super) const STOP: &str = "--set=ON_ERROR_STOP=1";

/// Starts clients.
pub(super) struct Starter {
    pub(super) client: Client,
    pub(super) to: Connection,
    pub(super) service: Service,
    pub(super) private: Arc<PrivateDir>,
    pub(super) lowered: Lowered,
    pub(super) secret: Zeroizing<String>,
    pub(super) words: Vec<String>,
    /// What sessions call themselves.
    pub(super) name: String,
    /// Whether the server can notice that a client is gone while it is at work.
    pub(super) checks_clients: bool,
    /// How long to wait for what another session holds.
    pub(super) patience: Duration,
}

/// The pipes of a client that has been started.
struct Pipes {
    child: Child,
    input: File,
    output: ChildStdout,
    said: ChildStderr,
}

impl Starter {
    /// The client's name.
    pub(super) fn program(&self) -> String {
        self.client.name()
    }

    /// The transaction of a database.
    pub(super) fn session(&self, database: &str) -> io::Result<Session> {
        let opening = format!("kubestash-{}", fence::new_key());
        let pipes = self.start(&self.words, database)?;
        let mut text = self.restriction();
        // A string is what the scan of the dump has taken it for.
        text.push_str("BEGIN;\nSET standard_conforming_strings = on;\n");
        text.push_str(&self.settings());
        text.push_str(&format!(
            "SELECT '{opening}', pg_catalog.txid_current(), pg_catalog.pg_backend_pid();\n"
        ));
        (&pipes.input).write_all(text.as_bytes())?;
        Ok(Session {
            database: database.to_owned(),
            client: self.load_client(pipes.child, collect(pipes.said)),
            input: Arc::new(pipes.input),
            answers: answers(pipes.output),
            opening,
        })
    }

    /// A client that goes on after an error, for what belongs to the whole server.
    pub(super) fn script(&self, home: &str) -> io::Result<(Script, Arc<File>)> {
        let words = self.words.iter().filter(|word| *word != STOP);
        let pipes = self.start(&words.cloned().collect::<Vec<_>>(), home)?;
        let text = format!("{}{}", self.restriction(), self.settings());
        (&pipes.input).write_all(text.as_bytes())?;
        drain(pipes.output);
        let nothing = tokio::spawn(async { StderrTail::default() });
        let script = Script {
            client: self.load_client(pipes.child, nothing),
            errors: globals::first_error(pipes.said, self.secret.clone()),
        };
        Ok((script, Arc::new(pipes.input)))
    }

    /// Keeps psql from running commands of its own.
    fn restriction(&self) -> String {
        match self.client.can_be_restricted() {
            true => format!("\\restrict {}\n", fence::new_key()),
            false => String::new(),
        }
    }

    /// Keeps a session from being ended while others are busy, a lock from being waited for until
    /// tomorrow, and a server from keeping the session of a client that is gone.
    fn settings(&self) -> String {
        let seconds = self.patience.as_secs().max(1);
        let mut text = format!(
            "SET idle_in_transaction_session_timeout = 0;\nSET lock_timeout = '{seconds}s';\n\
             SET tcp_keepalives_idle = 60;\nSET tcp_keepalives_interval = 10;\nSET tcp_keepalives_count = 6;\n"
        );
        if self.checks_clients {
            text.push_str("SET client_connection_check_interval = '10s';\n");
        }
        text
    }

    fn load_client(&self, child: Child, said: JoinHandle<StderrTail>) -> LoadClient {
        LoadClient {
            child,
            program: self.client.name(),
            said,
            secret: self.secret.clone(),
            reason,
            judge,
            _private: Arc::clone(&self.private),
        }
    }

    fn start(&self, words: &[String], database: &str) -> io::Result<Pipes> {
        let mut command = self.client.command();
        self.service.show_to(&mut command);
        command
            .args(words)
            .arg("--file=-")
            .arg(self.service.option_of(database, &self.name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        self.lowered.apply(&mut command);
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(said)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Pipes {
            child,
            input: File::from(input.into_owned_fd()?),
            output,
            said,
        })
    }
}

/// What a client said. Where in our own first statement an error was raised says nothing to
/// anybody.
fn reason(said: &StderrTail, secrets: &[&str]) -> String {
    let mut text = said.reason(secrets);
    let own = text.contains("cannot replace what is in the dump");
    if let Some(at) = text.find("CONTEXT:").filter(|_| own) {
        text.truncate(at);
        text.truncate(text.trim_end().len());
    }
    text
}

/// Reads what nobody needs.
fn drain(mut output: ChildStdout) {
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
}
