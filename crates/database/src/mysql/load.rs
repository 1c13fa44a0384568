//! A running `mariadb` or `mysql` that reads a dump.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;

use kubestash_core::args::{self, Tool};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::client::{Client, Purpose};
use super::dump::judge;
use super::options_file;
use super::plan::PlanError;
use super::server::Server;
use crate::family::{Error, Load, LoadRequest};
use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;
use crate::stream::{collect, explained, status_text};

/// Why a dump could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The client ended with an error.
    #[error("failed to load the dump: {program} ended with {status}{}", explained(.reason))]
    Client {
        /// The client's name.
        program: String,
        /// `exit code 1`.
        status: String,
        /// The end of what it said, with the failing statement's line.
        reason: String,
        /// Whether the same attempt must fail again.
        permanent: bool,
    },
    /// The caller cancelled.
    #[error("failed to load the dump: cancelled; the database may hold a part of it")]
    Cancelled,
    /// The client could not be waited for.
    #[error("failed to wait for {program}")]
    Wait {
        /// The client's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LoadError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client { .. } => "LoadFailed",
            Self::Cancelled => "Cancelled",
            Self::Wait { .. } => "LoadUnreadable",
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Client {
                permanent: true,
                ..
            }
        )
    }
}

/// Where the dump is written to. Dropping it says "that was all", so drop it only after the last byte;
/// otherwise drop the [`RunningLoad`] first, which ends the client.
pub struct LoadSink(File);

impl Write for LoadSink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The client at work.
pub struct RunningLoad {
    child: Child,
    program: String,
    said: JoinHandle<StderrTail>,
    secret: Zeroizing<String>,
    _private: PrivateDir,
}

impl RunningLoad {
    /// Waits until the client has worked off everything that was written to its sink.
    ///
    /// # Errors
    /// What the client said about the statement that failed.
    pub async fn finish(mut self, cancel: &CancellationToken) -> Result<(), LoadError> {
        let status = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(LoadError::Cancelled),
            status = self.child.wait() => status,
        };
        let status = status.map_err(|source| LoadError::Wait {
            program: self.program.clone(),
            source,
        })?;
        if status.success() {
            return Ok(());
        }
        let said = self.said.await.unwrap_or_default().text(&[&self.secret]);
        let reason = complaint(&said).to_owned();
        let permanent = judge(&reason).permanent;
        let reason = match remedy(&reason) {
            Some(remedy) => format!("{reason} ({remedy})"),
            None => reason,
        };
        Err(LoadError::Client {
            program: self.program,
            status: status_text(status),
            reason,
            permanent,
        })
    }
}

/// The client's own words: MariaDB's puts the failing statement in front of them, and with it rows of the user's data,
/// which are nobody else's business.
fn complaint(said: &str) -> &str {
    match said.rfind("\nERROR ") {
        Some(at) => &said[at + 1..],
        None => said,
    }
}

/// What to do about what the server said to a statement.
fn remedy(said: &str) -> Option<&'static str> {
    let lower = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    if says(&["lock wait timeout", "deadlock found"]) {
        Some("another session holds it: SHOW FULL PROCESSLIST finds it; end that one")
    } else if says(&["is full", "no space left", "errno: 28"]) {
        Some("make room where the database keeps its data")
    } else if says(&["max_allowed_packet"]) {
        Some("raise it with SET GLOBAL max_allowed_packet = 1073741824")
    } else if says(&["set user", "super", "set_user_id", "set_any_definer"]) {
        Some(
            "the dump holds objects that other users have defined: restore as a user with that right",
        )
    } else {
        None
    }
}

/// Waits for the server and starts the client.
pub(crate) async fn load(request: LoadRequest<'_>) -> Result<Load, Error> {
    let args = args::parse(Tool::MySqlClient, request.args)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Client::present(Purpose::Load, &path)?;
    let server = Server::wait(request.connection, request.wait_timeout).await?;
    let info = server.info.clone();
    server.close().await;

    let client = Client::find(Purpose::Load, info.vendor, &path).await?;
    let mut words = vec!["--max-allowed-packet=1G".to_owned()];
    let mut notes = Vec::new();
    // Left to the server, a table that somebody holds is waited for until tomorrow.
    if client.knows("init-command") {
        let seconds = request.wait_timeout.as_secs().max(1);
        words.push(format!(
            "--init-command=SET SESSION lock_wait_timeout={seconds}"
        ));
    }
    for flag in &args.flags {
        if client.knows(&flag.name) || client.knows(flag.option()) {
            words.push(flag.word.clone());
        } else if flag.documented {
            notes.push(format!(
                "{} does not know --{}: left out",
                client.name(),
                flag.name
            ));
        } else {
            let (flag, client) = (flag.name.clone(), client.name());
            return Err(PlanError::UnknownFlag { flag, client }.into());
        }
    }
    // The dump has the same character set in its first lines; binary mode keeps `\r\n` and NULs in data.
    words.push("--binary-mode".to_owned());
    words.push("--".to_owned());
    words.extend(request.database.map(str::to_owned));

    let scratch = |source| Error::Scratch {
        folder: request.scratch_dir.to_owned(),
        source,
    };
    let private = PrivateDir::create_in(request.scratch_dir).map_err(scratch)?;
    let options = options_file::write(&private, &client, request.connection).map_err(scratch)?;
    let mut command = client.command();
    command
        .arg(format!("--defaults-file={}", options.display()))
        .args(&words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let start = |source| Error::Start {
        program: client.name(),
        source,
    };
    let mut child = command.spawn().map_err(start)?;
    let (Some(stdin), Some(stderr)) = (child.stdin.take(), child.stderr.take()) else {
        return Err(start(io::ErrorKind::BrokenPipe.into()));
    };
    let sink = LoadSink(File::from(stdin.into_owned_fd().map_err(start)?));
    let running = RunningLoad {
        child,
        program: client.name(),
        said: collect(stderr),
        secret: request.connection.credentials.password().to_owned().into(),
        _private: private,
    };
    Ok(Load {
        sink,
        running,
        program: client.name(),
        server_version: info.version,
        words,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_client_says_no_statement_remains() {
        let error = "ERROR 1146 (42S02) at line 1: Table 'q.nope' doesn't exist";
        let said = format!(
            "--------------\ninsert into nope values ('private')\n--------------\n\n{error}"
        );
        assert_eq!(complaint(&said), error);
        assert_eq!(complaint(error), error);
        assert_eq!(
            complaint("mariadb: unknown option '--x'"),
            "mariadb: unknown option '--x'"
        );
    }

    #[test]
    fn what_can_be_done_about_a_failing_statement_is_said() {
        let cases = [
            (
                "ERROR 1205 (HY000) at line 30: Lock wait timeout exceeded; try restarting transaction",
                Some("PROCESSLIST"),
            ),
            (
                "ERROR 1114 (HY000) at line 30: The table 'druid_segments' is full",
                Some("make room"),
            ),
            (
                "ERROR 1030 (HY000) at line 5: Got error 28 \"No space left on device\" from storage engine",
                Some("make room"),
            ),
            (
                "ERROR 1153 (08S01) at line 7: Got a packet bigger than 'max_allowed_packet' bytes",
                Some("SET GLOBAL"),
            ),
            (
                "ERROR 1227 (42000) at line 9: Access denied; you need (at least one of) the SUPER, SET USER privilege(s)",
                Some("with that right"),
            ),
            (
                "ERROR 1146 (42S02) at line 3: Table 'x.nope' doesn't exist",
                None,
            ),
            ("", None),
        ];
        for (said, words) in cases {
            let found = remedy(said);
            match words {
                Some(words) => assert!(
                    found.is_some_and(|found| found.contains(words)),
                    "{said}: {found:?}"
                ),
                None => assert_eq!(found, None, "{said}"),
            }
        }
    }
}
