//! The clients of a load: when they begin, and when what they have loaded is committed.
//!
//! ```text
//!   Begin   a psql for a database: BEGIN, and the id of its transaction
//!   ask     has it worked off everything, and is it still in that transaction?
//!   commit  COMMIT for all of a group, once all have answered
//! ```
//! Nobody but this sends a COMMIT. A client whose input ends, or that is killed, takes its
//! transaction back with it.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::super::fence;
use super::super::globals::Script;
use super::super::layout::To;
use super::super::server::Server;
use super::router::Order;
use super::starter::Starter;
use crate::aftermath::{Aftermath, Now};
use crate::load::{LoadClient, LoadError};

/// Time that a psql gets to end after it has stopped reading: it stops only because it ends.
const ENDING: Duration = Duration::from_secs(2);
/// How often the server is asked whether a client waits for more of what is at its end.
const LOOK: Duration = Duration::from_secs(5);

/// The transaction of one database.
pub(super) struct Session {
    pub(super) database: String,
    pub(super) client: LoadClient,
    pub(super) input: Arc<File>,
    /// Lines of its output that begin with a word of ours.
    pub(super) answers: UnboundedReceiver<String>,
    /// The word before the first answer.
    pub(super) opening: String,
}

/// What a session has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transaction {
    id: u64,
    pid: u32,
}

/// The client that runs what belongs to the whole server, and its input.
type RunningScript = (JoinHandle<Result<(), LoadError>>, Arc<File>);

/// All clients of a load.
pub(super) struct Conductor {
    pub(super) starter: Starter,
    /// The database to connect to for what belongs to the whole server.
    pub(super) home: String,
    /// How many sessions may be open.
    pub(super) room: usize,
    /// What is run in each database before its part of the dump.
    makes_room: super::Room,
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) now: Now,
    sessions: Vec<Session>,
    script: Option<RunningScript>,
    restored: Vec<String>,
}

impl Conductor {
    pub(super) fn new(
        starter: Starter,
        home: String,
        (room, makes_room): (usize, super::Room),
        orders: UnboundedReceiver<Order>,
        now: Now,
    ) -> Self {
        Self {
            starter,
            home,
            room,
            makes_room,
            orders,
            now,
            sessions: Vec::new(),
            script: None,
            restored: Vec::new(),
        }
    }

    /// Does what is ordered, to the end of the dump.
    pub(super) async fn conduct(mut self) -> Result<(), LoadError> {
        while let Some(order) = self.orders.recv().await {
            match order {
                Order::Begin { to, reply } => {
                    let file = match to {
                        To::Server => self.begin_server()?,
                        To::Database(name) => self.begin(&name).await?,
                    };
                    // Whoever asked may have been given up.
                    let _ = reply.send(file);
                }
                Order::EndServer { reply } => {
                    self.end_server().await?;
                    let _ = reply.send(());
                }
                Order::Finish => return self.commit().await,
            }
        }
        Err(self.reason().await)
    }

    fn start_failed(&self, source: std::io::Error) -> LoadError {
        LoadError::Start {
            program: self.starter.program(),
            source,
            after: self.now.get(),
        }
    }

    fn begin_server(&mut self) -> Result<Arc<File>, LoadError> {
        if self.now.get() == Aftermath::Undone {
            self.now.set(Aftermath::ServerLoaded);
        }
        let started = self.starter.script(&self.home);
        let (script, file): (Script, _) = started.map_err(|error| self.start_failed(error))?;
        let after = self.now.get();
        let task = tokio::spawn(async move { script.end(after).await });
        self.script = Some((task, Arc::clone(&file)));
        Ok(file)
    }

    async fn end_server(&mut self) -> Result<(), LoadError> {
        let Some((task, file)) = self.script.take() else {
            return Ok(());
        };
        // The end of its input is the end of psql.
        drop(file);
        match task.await {
            Ok(ended) => ended,
            Err(_) => Err(LoadError::Broken {
                after: self.now.get(),
            }),
        }
    }

    async fn begin(&mut self, database: &str) -> Result<Arc<File>, LoadError> {
        let open = self.sessions.iter().find(|open| open.database == database);
        if let Some(open) = open {
            return Ok(Arc::clone(&open.input));
        }
        if let Some(error) = self.failed().await {
            return Err(error);
        }
        if self.sessions.len() >= self.room {
            self.commit().await?;
        }
        let session = self.starter.session(database);
        let session = session.map_err(|error| self.start_failed(error))?;
        let file = Arc::clone(&session.input);
        self.sessions.push(session);
        if let Some(text) = self.makes_room.remove(database) {
            let input = Arc::clone(&file);
            // A client that is gone is found later, with what it said.
            let _ = tokio::task::spawn_blocking(move || (&*input).write_all(text.as_bytes())).await;
        }
        Ok(file)
    }

    /// Commits what all open sessions have loaded, if all have loaded it well.
    async fn commit(&mut self) -> Result<(), LoadError> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        let Some(transactions) = self.ask().await? else {
            return Err(self.reason().await);
        };
        // What cannot be taken back begins: no step between the first and the last of these waits
        // for anything.
        let names = || self.sessions.iter().map(|session| session.database.clone());
        let before = std::mem::take(&mut self.restored);
        self.now.set(Aftermath::Unknown(
            before.iter().cloned().chain(names()).collect(),
        ));
        let word = format!("kubestash-{}", fence::new_key());
        for (session, transaction) in self.sessions.iter().zip(&transactions) {
            let text = format!(
                "COMMIT;\nSELECT '{word}', pg_catalog.txid_status({});\n",
                transaction.id
            );
            // A client that is gone is found below.
            let _ = (&*session.input).write_all(text.as_bytes());
        }
        let mut committed = before;
        let mut failed = None;
        let sessions = std::mem::take(&mut self.sessions);
        for (session, transaction) in sessions.into_iter().zip(transactions) {
            match self.committed(session, &word, transaction).await {
                Ok(name) => committed.push(name),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.restored.clone_from(&committed);
        match failed {
            None => {
                self.now.set(Aftermath::Restored(committed));
                Ok(())
            }
            Some(error) => Err(error),
        }
    }

    /// Whether the server has committed; asks anew if the session cannot say.
    async fn committed(
        &self,
        session: Session,
        word: &str,
        transaction: Transaction,
    ) -> Result<String, LoadError> {
        let Session {
            database,
            mut client,
            input,
            mut answers,
            ..
        } = session;
        let answer = answer(&mut answers, word).await;
        let status = answer.as_ref().and_then(|fields| fields.first());
        if status.is_some_and(|status| status == "committed") {
            drop(input);
            // It has nothing left to do.
            let _ = tokio::time::timeout(ENDING, client.child.wait()).await;
            return Ok(database);
        }
        let starter = &self.starter;
        match Server::ended(&starter.to, &database, transaction.id).await {
            Ok(Some(status)) if status == "committed" => Ok(database),
            _ => {
                let after = self.now.get();
                let ended = tokio::time::timeout(ENDING, client.wait(after.clone())).await;
                match ended {
                    Ok(Err(error)) => Err(error),
                    _ => Err(LoadError::Broken { after }),
                }
            }
        }
    }

    /// Asks all sessions whether they have worked off everything; none if one has ended.
    async fn ask(&mut self) -> Result<Option<Vec<Transaction>>, LoadError> {
        // Drawn only now, so that no dump can know it.
        let word = format!("kubestash-{}", fence::new_key());
        let text = format!(
            "\nSET CONSTRAINTS ALL IMMEDIATE;\nSELECT '{word}', pg_catalog.txid_current();\n"
        );
        let asked: Vec<_> = self
            .sessions
            .iter()
            .map(|session| (Arc::clone(&session.input), text.clone()))
            .map(|(input, text)| {
                // A client that is busy takes its time.
                tokio::task::spawn_blocking(move || (&*input).write_all(text.as_bytes()))
            })
            .collect();
        let mut transactions = Vec::new();
        for at in 0..self.sessions.len() {
            let opened = self.opened(at).await;
            let Some(transaction) = opened else {
                return Ok(None);
            };
            let Some(last) = self.answered(at, &word, transaction).await? else {
                return Ok(None);
            };
            if last != transaction.id {
                let database = self.sessions[at].database.clone();
                return Err(LoadError::Escaped { database });
            }
            transactions.push(transaction);
        }
        for written in asked {
            // All have answered what was written.
            let _ = written.await;
        }
        Ok(Some(transactions))
    }

    async fn opened(&mut self, at: usize) -> Option<Transaction> {
        let session = self.sessions.get_mut(at)?;
        let word = session.opening.clone();
        // It comes as soon as the session is there; one that cannot connect ends.
        let fields = answer(&mut session.answers, &word).await?;
        Some(Transaction {
            id: fields.first()?.parse().ok()?,
            pid: fields.get(1)?.parse().ok()?,
        })
    }

    /// The last answer of a session: the id of its transaction, or none if it has ended.
    async fn answered(
        &mut self,
        at: usize,
        word: &str,
        transaction: Transaction,
    ) -> Result<Option<u64>, LoadError> {
        let mut waits: Option<(String, Instant)> = None;
        loop {
            let Some(session) = self.sessions.get_mut(at) else {
                return Ok(None);
            };
            let answer = answer(&mut session.answers, word);
            if let Ok(fields) = tokio::time::timeout(LOOK.min(self.starter.patience), answer).await
            {
                return Ok(fields.and_then(|fields| fields.first()?.parse().ok()));
            }
            let since = self.waits(transaction.pid).await;
            waits = match (since, waits) {
                (None, _) => None,
                (Some(now), Some((before, at))) if now == before => Some((before, at)),
                (Some(now), _) => Some((now, Instant::now())),
            };
            // The server has nothing to do, and the client has been given everything.
            let long = |at: &Instant| at.elapsed() >= self.starter.patience;
            if waits.as_ref().is_some_and(|(_, at)| long(at)) {
                return Err(LoadError::Unended {
                    program: self.starter.program(),
                    after: self.now.get(),
                });
            }
        }
    }

    /// Since when a session waits for its client, if it does.
    async fn waits(&self, pid: u32) -> Option<String> {
        let starter = &self.starter;
        let server = Server::another(&starter.to, &self.home).await.ok()?;
        let waiting = server.waiting(&[pid]).await.ok()?;
        waiting.into_iter().next().map(|(_, since)| since)
    }

    /// What a client said that has ended by itself.
    async fn failed(&mut self) -> Option<LoadError> {
        let after = self.now.get();
        for session in &mut self.sessions {
            if let Ok(Some(status)) = session.client.child.try_wait()
                && !status.success()
                && let Err(error) = session.client.wait(after.clone()).await
            {
                return Some(error);
            }
        }
        None
    }

    /// Why the dump was not taken to its end.
    async fn reason(&mut self) -> LoadError {
        let after = self.now.get();
        if let Some((mut task, file)) = self.script.take() {
            // A client that has failed has ended; another one shall not end well now.
            let ended = tokio::time::timeout(ENDING, &mut task).await;
            task.abort();
            drop(file);
            if let Ok(Ok(Err(error))) = ended {
                return error;
            }
        }
        let until = Instant::now() + ENDING;
        while Instant::now() < until {
            if let Some(error) = self.failed().await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        LoadError::Broken { after }
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        if let Some((task, _)) = &self.script {
            task.abort();
        }
    }
}

/// What stands behind a word in a session's output; none if that has ended.
async fn answer(answers: &mut UnboundedReceiver<String>, word: &str) -> Option<Vec<String>> {
    loop {
        let line = answers.recv().await?;
        let Some(rest) = line.strip_prefix(word) else {
            continue;
        };
        let fields = rest.trim_start_matches('|').split('|');
        return Some(fields.map(str::to_owned).collect());
    }
}

/// The lines of an output that begin with a word of ours.
pub(super) fn answers(output: tokio::process::ChildStdout) -> UnboundedReceiver<String> {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let (told, answers) = unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            if line.starts_with(b"kubestash-") && line.len() < 256 {
                // Nobody may be listening any more.
                let _ = told.send(String::from_utf8_lossy(&line).into_owned());
            }
        }
    });
    answers
}
