//! Running `psql`, one for each database, so that all of a dump is loaded or nothing.
//!
//! ```text
//!   dump ─► Router ─┬─► psql --single-transaction, database a ─┐
//!                   └─► psql --single-transaction, database b ─┴─► all have worked off everything? ─► COMMIT
//! ```
//! A psql commits when its input ends. So the inputs stay open until every psql has answered a last query: an error in
//! one database, a dump that breaks off or a cancel ends all of them while nothing is committed. What belongs to the
//! whole server is loaded before, for it cannot be taken back.

mod finish;
mod parts;
mod router;

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kubestash_core::args::{self, Tool};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::client::{Client, Program};
use super::dump::{judge, usable, write_files};
use super::fence::{self, Fence};
use super::globals::{self, OwnPassword, Script};
use super::sections::{self, Section, has_index};
use super::server::Server;
use super::service::Service;
use crate::family::{Error, Load, LoadRequest, Role};
use crate::load::{LoadClient, LoadSink, RunningLoad};
use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;
use crate::stream::collect;
use crate::target::TargetError;

use finish::{ServerEnd, Session, Work};
use parts::{Filtered, ServerPart, Transaction};
use router::{Part, Router};

/// What every psql is told.
const ALWAYS: [&str; 5] = [
    "--no-psqlrc",
    "--no-password",
    "--quiet",
    "--tuples-only",
    "--no-align",
];
/// Loads everything or nothing.
const TRANSACTION: [&str; 2] = ["--single-transaction", "--set=ON_ERROR_STOP=1"];

/// Waits for the server and starts the clients.
pub(crate) async fn load(request: LoadRequest<'_>) -> Result<Load, Error> {
    let args = args::parse(Tool::Psql, request.args)?;
    let to = request.connection;
    usable(to)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Client::present(Program::Psql, &path)?;
    let server = Server::wait(to, &Role::Plain, request.wait_timeout).await?;
    let (info, home) = (server.info.clone(), server.database.clone());
    drop(server);
    let client = Client::find(Program::Psql, info.major, &info.version, &path).await?;

    let mut notes = args.notes;
    if !client.can_be_restricted() {
        notes.push(format!(
            "{} cannot be kept from running commands that a dump asks for: update it",
            client.version()
        ));
    }
    let own = ALWAYS.iter().chain(&TRANSACTION).copied();
    let mut words: Vec<String> = own.map(str::to_owned).collect();
    let given = args.flags.iter().map(|flag| flag.word.clone());
    words.extend(given.filter(|word| !ALWAYS.contains(&word.as_str())));
    words.dedup();
    let (private, service) = write_files(request.scratch_dir, to).await?;
    let starter = Starter {
        client: &client,
        service: &service,
        private,
        secret: to.credentials.password().to_owned().into(),
        words: &words,
        major: info.major,
        user: to.credentials.user(),
        patience: request.wait_timeout,
    };

    let head = &request.outline.head;
    let (sink, running) = if globals::is_cluster(head) {
        starter.whole_server(&home)?
    } else if has_index(head) {
        let index = sections::read(&request.outline.tail).ok_or(TargetError::Format(
            "the index at the end of the dump is broken",
        ))?;
        starter.several(&index.sections, &home)?
    } else {
        let name = request.database.ok_or_else(|| TargetError::NoDatabase {
            address: to.address(),
        })?;
        let whole = Section {
            database: Some(name.to_owned()),
            offset: 0,
            length: u64::MAX,
        };
        starter.several(&[whole], &home)?
    };
    Ok(Load {
        sink,
        running,
        program: client.name(),
        server: "PostgreSQL",
        server_version: info.version,
        words,
        notes,
    })
}

/// Starts clients that have the same options.
struct Starter<'a> {
    client: &'a Client,
    service: &'a Service,
    private: Arc<PrivateDir>,
    secret: Zeroizing<String>,
    words: &'a [String],
    major: u32,
    user: &'a str,
    /// How long to wait for what another session holds.
    patience: Duration,
}

/// The pipes of a client that has been started.
struct Pipes {
    child: Child,
    input: File,
    output: ChildStdout,
    said: ChildStderr,
}

impl Starter<'_> {
    /// One transaction for each section of a database, after the section of the whole server.
    fn several(&self, sections: &[Section], home: &str) -> Result<(LoadSink, RunningLoad), Error> {
        let mark = format!("kubestash-{}", fence::new_key());
        let (told, ready) = oneshot::channel();
        let mut parts = Vec::new();
        let mut work = Work {
            sessions: Vec::new(),
            server: None,
            ready,
        };
        for section in sections {
            let to: Box<dyn Part> = match &section.database {
                Some(name) => {
                    let (session, part) = self.session(name, &mark)?;
                    work.sessions.push(session);
                    Box::new(part)
                }
                None => {
                    let (part, ended) = self.server_part(home)?;
                    work.server = Some(ended);
                    Box::new(part)
                }
            };
            parts.push((section.clone(), to));
        }
        let router = Router::new(parts, told);
        let undone = work.server.is_none();
        let running = RunningLoad::new(work.finish(), undone);
        Ok((LoadSink::new(router), running))
    }

    /// A dump of a whole server that others made: one psql, which goes from database to database itself.
    fn whole_server(&self, home: &str) -> Result<(LoadSink, RunningLoad), Error> {
        let pipes = self.start(&self.script_words(), home)?;
        let script = self.script(pipes.child, pipes.said);
        drain(pipes.output);
        let sink = Filtered {
            filter: Box::new(OwnPassword::of(self.user)),
            to: Arc::new(pipes.input),
        };
        let running = RunningLoad::new(script.end(), false);
        Ok((LoadSink::new(sink), running))
    }

    fn session(&self, database: &str, mark: &str) -> Result<(Session, Transaction), Error> {
        let pipes = self.start(self.words, database)?;
        let input = Arc::new(pipes.input);
        self.prepare(&input)?;
        let session = Session {
            client: self.load_client(pipes.child, collect(pipes.said)),
            input: Arc::clone(&input),
            answered: answered(pipes.output, mark.to_owned()),
        };
        let part = Transaction {
            to: Filtered {
                filter: Box::new(Fence::to_server(self.major)),
                to: input,
            },
            question: format!("\nSELECT '{mark}';\n"),
        };
        Ok((session, part))
    }

    fn server_part(&self, home: &str) -> Result<(ServerPart, ServerEnd), Error> {
        let pipes = self.start(&self.script_words(), home)?;
        let script = self.script(pipes.child, pipes.said);
        drain(pipes.output);
        let input = Arc::new(pipes.input);
        self.prepare(&input)?;
        let (well, ended) = mpsc::channel();
        let task = tokio::spawn(async move {
            let result = script.end().await;
            // The dump may have been given up meanwhile.
            let _ = well.send(result.is_ok());
            result
        });
        let part = ServerPart {
            to: Filtered {
                filter: Box::new(OwnPassword::of(self.user)),
                to: input,
            },
            ended,
        };
        Ok((part, ServerEnd(task)))
    }

    /// Keeps psql from running commands of its own, its session from being ended while others are busy, and a lock from
    /// being waited for until tomorrow.
    fn prepare(&self, input: &Arc<File>) -> Result<(), Error> {
        let mut text = String::new();
        if self.client.can_be_restricted() {
            text.push_str(&format!("\\restrict {}\n", fence::new_key()));
        }
        text.push_str("SET idle_in_transaction_session_timeout = 0;\n");
        let seconds = self.patience.as_secs().max(1);
        text.push_str(&format!("SET lock_timeout = '{seconds}s';\n"));
        let written = (&**input).write_all(text.as_bytes());
        written.map_err(|source| self.failed_to_start(source))
    }

    fn script_words(&self) -> Vec<String> {
        let transaction = |word: &&String| !TRANSACTION.contains(&word.as_str());
        self.words.iter().filter(transaction).cloned().collect()
    }

    fn script(&self, child: Child, said: ChildStderr) -> Script {
        let nothing = tokio::spawn(async { StderrTail::default() });
        Script {
            client: self.load_client(child, nothing),
            errors: globals::first_error(said, self.secret.clone()),
        }
    }

    fn load_client(&self, child: Child, said: JoinHandle<StderrTail>) -> LoadClient {
        LoadClient {
            child,
            program: self.client.name(),
            said,
            secret: self.secret.clone(),
            reason: StderrTail::reason,
            judge,
            _private: Arc::clone(&self.private),
        }
    }

    fn start(&self, words: &[String], database: &str) -> Result<Pipes, Error> {
        let mut command = self.client.command();
        self.service.show_to(&mut command);
        command
            .args(words)
            .arg("--file=-")
            .arg(self.service.option(database))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|source| self.failed_to_start(source))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(said)) = pipes else {
            return Err(self.failed_to_start(io::ErrorKind::BrokenPipe.into()));
        };
        let input = input.into_owned_fd();
        Ok(Pipes {
            child,
            input: File::from(input.map_err(|source| self.failed_to_start(source))?),
            output,
            said,
        })
    }

    fn failed_to_start(&self, source: io::Error) -> Error {
        Error::Start {
            program: self.client.name(),
            source,
        }
    }
}

/// Whether a client answers the last query, which it does when it has worked off everything before.
fn answered(output: ChildStdout, mark: String) -> JoinHandle<bool> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            if line == mark.as_bytes() {
                return true;
            }
        }
        false
    })
}

/// Reads what nobody needs.
fn drain(mut output: ChildStdout) {
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
}
