//! Running `psql`, one for each database, so that all of a dump is loaded or nothing.
//!
//! ```text
//!   dump ─► Router ─┬─► psql --single-transaction, database a ─┐
//!                   └─► psql --single-transaction, database b ─┴─► all have worked off everything? ─► COMMIT
//! ```
//! A psql commits when its input ends. So the inputs stay open until every psql has answered a last query: an error in
//! one database, a dump that breaks off or a cancel ends all of them while nothing is committed. What belongs to the
//! whole server is loaded before, for it cannot be taken back.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::BytesMut;
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
use crate::load::{Input, LoadClient, LoadError, LoadSink, RunningLoad};
use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;
use crate::stream::{Filter, collect};
use crate::target::TargetError;

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
/// Time that a psql gets to end after it has stopped reading: it stops only because it ends.
const ENDING: Duration = Duration::from_secs(2);

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

    let mut notes = Vec::new();
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
        let router = Router {
            parts: parts.into_iter().rev().collect(),
            position: 0,
            past: Vec::new(),
            told,
        };
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

/// The transaction of one database. Its client ends before its input does: half a dump is never committed.
struct Session {
    client: LoadClient,
    input: Arc<File>,
    answered: JoinHandle<bool>,
}

/// The end of what belongs to the whole server; its client ends with it.
struct ServerEnd(JoinHandle<Result<(), LoadError>>);

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All clients of a load.
struct Work {
    sessions: Vec<Session>,
    server: Option<ServerEnd>,
    ready: oneshot::Receiver<()>,
}

impl Work {
    async fn finish(mut self) -> Result<(), LoadError> {
        let undone = self.server.is_none();
        if (&mut self.ready).await.is_err() {
            return Err(self.reason(undone).await);
        }
        for at in 0..self.sessions.len() {
            let Some(session) = self.sessions.get_mut(at) else {
                break;
            };
            if !(&mut session.answered).await.unwrap_or_default() {
                return Err(self.reason(undone).await);
            }
        }
        for (committed, session) in std::mem::take(&mut self.sessions).into_iter().enumerate() {
            let Session {
                mut client, input, ..
            } = session;
            drop(input);
            client.wait(undone && committed == 0).await?;
        }
        Ok(())
    }

    /// Why the dump was not taken to its end: what a client said that has ended by itself.
    async fn reason(&mut self, undone: bool) -> LoadError {
        if let Some(ServerEnd(task)) = &mut self.server
            && let Ok(Ok(Err(error))) = tokio::time::timeout(Duration::from_secs(1), task).await
        {
            return error;
        }
        let looking = async {
            loop {
                for session in &mut self.sessions {
                    if let Ok(Some(status)) = session.client.child.try_wait()
                        && !status.success()
                        && let Err(error) = session.client.wait(undone).await
                    {
                        return error;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(ENDING, looking)
            .await
            .unwrap_or(LoadError::Broken { undone })
    }
}

/// A file that gets what a filter passes on.
struct Filtered {
    filter: Box<dyn Filter>,
    to: Arc<File>,
}

impl Filtered {
    fn last(&mut self) -> io::Result<()> {
        let rest = self.filter.end();
        (&*self.to).write_all(&rest)
    }
}

impl Write for Filtered {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let passed = self.filter.pass(BytesMut::from(buffer));
        (&*self.to).write_all(&passed)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for Filtered {
    fn end(mut self: Box<Self>) -> io::Result<()> {
        self.last()
    }
}

/// Where a section goes.
trait Part: Write + Send {
    /// The section is complete.
    fn complete(&mut self) -> io::Result<()>;

    /// All sections are complete.
    fn ask(&mut self) -> io::Result<()>;
}

/// To the transaction of a database.
struct Transaction {
    to: Filtered,
    question: String,
}

impl Write for Transaction {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.to.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for Transaction {
    fn complete(&mut self) -> io::Result<()> {
        self.to.last()
    }

    fn ask(&mut self) -> io::Result<()> {
        (&*self.to.to).write_all(self.question.as_bytes())
    }
}

/// To the whole server.
struct ServerPart {
    to: Filtered,
    ended: mpsc::Receiver<bool>,
}

impl Write for ServerPart {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.to.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for ServerPart {
    /// Waits until it is loaded: the databases need the roles.
    fn complete(&mut self) -> io::Result<()> {
        self.to.last()?;
        // The end of its input is the end of psql.
        self.to.to = Arc::new(File::open("/dev/null")?);
        match self.ended.recv() {
            Ok(true) => Ok(()),
            _ => Err(io::Error::other("the roles were not taken")),
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends each section of a dump where it belongs, by its position.
struct Router {
    /// The sections to come, the next one last.
    parts: Vec<(Section, Box<dyn Part>)>,
    position: u64,
    past: Vec<Box<dyn Part>>,
    told: oneshot::Sender<()>,
}

impl Router {
    /// Takes note of a section that has ended.
    fn settle(&mut self) -> io::Result<()> {
        while let Some((section, _)) = self.parts.last() {
            if self.position < section.offset.saturating_add(section.length) {
                break;
            }
            if let Some((_, mut part)) = self.parts.pop() {
                part.complete()?;
                self.past.push(part);
            }
        }
        Ok(())
    }
}

impl Write for Router {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut rest = buffer;
        while !rest.is_empty() {
            self.settle()?;
            let Some((section, part)) = self.parts.last_mut() else {
                // The index.
                break;
            };
            let before = section.offset.saturating_sub(self.position);
            let wanted = match before {
                0 => section.offset.saturating_add(section.length) - self.position,
                before => before,
            };
            let count = usize::try_from(wanted)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            if before == 0 {
                part.write_all(&rest[..count])?;
            }
            self.position += count as u64;
            rest = &rest[count..];
        }
        self.settle()?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for Router {
    fn end(mut self: Box<Self>) -> io::Result<()> {
        while let Some((section, mut part)) = self.parts.pop() {
            // Only a dump without an index ends where it ends.
            if section.length != u64::MAX {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            part.complete()?;
            self.past.push(part);
        }
        for part in &mut self.past {
            part.ask()?;
        }
        // If nobody waits any more, it was cancelled.
        let _ = self.told.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<String>>);

    impl Write for Seen {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap()
                .push_str(std::str::from_utf8(buffer).unwrap());
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Part for Seen {
        fn complete(&mut self) -> io::Result<()> {
            self.write_all(b".")
        }

        fn ask(&mut self) -> io::Result<()> {
            self.write_all(b"?")
        }
    }

    fn router(sections: &[(u64, u64)], seen: &Seen) -> (Box<Router>, oneshot::Receiver<()>) {
        let (told, ready) = oneshot::channel();
        let part = |(offset, length): &(u64, u64)| {
            let section = Section {
                database: None,
                offset: *offset,
                length: *length,
            };
            (section, Box::new(seen.clone()) as Box<dyn Part>)
        };
        let router = Router {
            parts: sections.iter().rev().map(part).collect(),
            position: 0,
            past: Vec::new(),
            told,
        };
        (Box::new(router), ready)
    }

    #[test]
    fn sections_are_told_apart_by_position_alone() {
        for chunk in [1, 2, 3, 100] {
            let seen = Seen::default();
            let (mut router, mut ready) = router(&[(2, 3), (5, 0), (7, 2)], &seen);
            for part in b"##abc##de##".chunks(chunk) {
                router.write_all(part).unwrap();
            }
            assert_eq!(*seen.0.lock().unwrap(), "abc..de.");
            assert!(ready.try_recv().is_err());
            router.end().unwrap();
            assert_eq!(*seen.0.lock().unwrap(), "abc..de.???");
            ready.try_recv().unwrap();
        }
    }

    #[test]
    fn a_dump_that_ends_before_its_sections_do_is_not_complete() {
        let seen = Seen::default();
        let (mut one, mut ready) = router(&[(0, 5)], &seen);
        one.write_all(b"abc").unwrap();
        assert!(one.end().is_err() && ready.try_recv().is_err());
        let seen = Seen::default();
        let (mut endless, mut ready) = router(&[(0, u64::MAX)], &seen);
        endless.write_all(b"abc").unwrap();
        endless.end().unwrap();
        ready.try_recv().unwrap();
        assert_eq!(*seen.0.lock().unwrap(), "abc.?");
    }
}
