//! Running `psql`, one for each database, so that all of a dump is loaded or nothing.
//!
//! ```text
//!   dump ─► Router ─┬─► psql in a transaction of ours, database a ─┐  all have worked off everything, and are still
//!                   └─► psql in a transaction of ours, database b ─┴─► in that transaction?  ─► COMMIT
//! ```
//! A psql whose input ends takes its transaction back: a COMMIT is only sent once every psql has
//! answered a last query. So an error in one database, a dump that breaks off, a cancel or a kill
//! ends all of them with nothing committed. What belongs to the whole server is loaded before, for
//! it cannot be taken back. If the server has no room for as many connections as there are
//! databases, as many as there is room for make a group, which is committed before the next.

mod conductor;
mod router;
mod starter;

use std::collections::BTreeMap;
use std::sync::Arc;

use conductor::Conductor;
use kubestash_domain::args::{self, Tool};
use router::{Kept, Router};
use starter::{ALWAYS, STOP, Starter};
use tokio::sync::mpsc::unbounded_channel;

use super::client::{Client, Program};
use super::dump::usable;
use super::layout::{self, Facts, Part};
use super::scan::{Scan, Schema, Span};
use super::server::Server;
use super::service::Service;
use super::{fence, prepare};
use crate::aftermath::{Aftermath, Now};
use crate::connection::Connection;
use crate::family::{Error, Load, LoadRequest, Role};
use crate::load::{LoadError, LoadSink, RunningLoad};
use crate::lowered::Lowered;
use crate::outline::Found;
use crate::target::TargetError;

/// What makes room in a database, by its name.
type Room = BTreeMap<String, String>;

/// Waits for the server and gets everything ready; the clients start when their part of the dump
/// begins.
pub(crate) async fn load(request: LoadRequest<'_>) -> Result<Load, Error> {
    let args = args::parse(Tool::Psql, request.args)?;
    let to = request.connection;
    usable(to)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Client::present(Program::Psql, &path)?;
    let mut notes = args.notes;
    let server = Server::wait(to, &Role::Plain, request.wait_timeout).await?;
    let name = session_name(to);
    let left = server.end_sessions(&name).await?;
    if left > 0 {
        notes.push(format!(
            "ended {left} sessions that an earlier restore had left behind when it was killed"
        ));
    }
    let holdings = server.holdings().await?;
    let checks_clients = server.checks_clients().await;
    let (info, home) = (server.info.clone(), server.database.clone());
    drop(server);
    let client = Client::find(Program::Psql, info.major, &info.version, &path).await?;
    if !client.can_be_restricted() {
        notes.push(format!(
            "{} has no restricted mode; what a dump may ask of it is checked by kubestash alone: update it",
            client.version()
        ));
    }
    let (kept, room) = kept(&request, |scan| Facts {
        roles: &holdings.roles,
        user: to.credentials.user(),
        superuser: info.superuser,
        major: info.major,
        allowed: scan,
    })?;
    let mut words: Vec<String> = ALWAYS.iter().map(|word| (*word).to_owned()).collect();
    words.push(STOP.to_owned());
    let given = args.flags.iter().map(|flag| flag.word.clone());
    // Its transaction is ours.
    let ours = |word: &String| ALWAYS.contains(&word.as_str()) || word == "--single-transaction";
    words.extend(given.filter(|word| !ours(word)));

    let failed = |source| Error::Scratch {
        folder: request.scratch_dir.to_owned(),
        source,
    };
    let prepared = Lowered::prepare(client.path(), request.scratch_dir, &mut notes).await;
    let (lowered, private) = prepared.map_err(failed)?;
    let service = Service::write(&private, to).await.map_err(failed)?;
    lowered.own(&private).map_err(failed)?;
    let program = client.name();
    let starter = Starter {
        client,
        to: to.clone(),
        service,
        private: Arc::new(private),
        lowered,
        secret: to.credentials.password().to_owned().into(),
        words: words.clone(),
        name,
        checks_clients,
        patience: request.wait_timeout,
    };
    let (orders, ordered) = unbounded_channel();
    let now = Now::new(Aftermath::Undone);
    let most = holdings.room().max(1);
    let conductor = Conductor::new(starter, home, (most, room), ordered, now.clone());
    let conducting = Conducting(tokio::spawn(conductor.conduct()));
    Ok(Load {
        sink: LoadSink::new(Router::new(kept, orders)),
        running: RunningLoad::new(conducting.end(now.clone()), now),
        program,
        server: "PostgreSQL",
        server_version: info.version,
        words,
        notes,
    })
}

/// What sessions of a restore into this database call themselves, so that the next one knows what a
/// killed one left.
fn session_name(to: &Connection) -> String {
    // The server keeps 63 bytes of printable ASCII.
    let origin = to.origin.chars().filter(|c| c.is_ascii_graphic());
    let origin: String = origin.collect();
    let tail = origin.len().saturating_sub(44);
    format!("kubestash-restore {}", &origin[tail..])
}

/// What of the dump goes where, and what makes room for it in each database.
fn kept<'a>(
    request: &LoadRequest<'_>,
    facts: impl FnOnce(crate::scan::Allowed) -> Facts<'a>,
) -> Result<(Vec<Kept>, Room), TargetError> {
    let outline = request.outline;
    let unseen = Scan {
        bytes: u64::MAX,
        ..Scan::default()
    };
    let scan = match &outline.found {
        Found::Postgres(scan) => scan,
        Found::MySql(_) | Found::Nothing => &unseen,
    };
    let parts = layout::parts(outline, scan, request.database)?;
    if parts.is_empty() {
        return Err(TargetError::NoDatabase {
            address: request.connection.address(),
        });
    }
    let cuts = layout::left_out(scan, facts(outline.allowed));
    let room = room(scan, &parts, outline.allowed.replace);
    let kept = parts.into_iter().map(|part| {
        let spans = layout::kept(part.span, &cuts);
        Kept {
            before: schemas(scan, part.span, &spans),
            spans,
            to: part.to,
        }
    });
    Ok((kept.collect(), room))
}

/// What is run in a part instead of making schemas, by the place that it comes before.
fn schemas(scan: &Scan, part: Span, spans: &[Span]) -> BTreeMap<u64, String> {
    let mut before: BTreeMap<u64, String> = BTreeMap::new();
    let within = |one: &&Schema| part.offset <= one.make.offset && one.make.offset < part.end;
    for schema in scan.schemas.iter().filter(within) {
        let next = spans.partition_point(|span| span.offset < schema.make.end);
        if let Some(next) = spans.get(next) {
            let text = prepare::schema(&schema.name, &fence::new_key());
            before.entry(next.offset).or_default().push_str(&text);
        }
    }
    before
}

/// The statements that make room for the dump in each database.
fn room(scan: &Scan, parts: &[Part], replace: bool) -> Room {
    let names = parts.iter().filter_map(Part::database);
    let statements = |name: &str| {
        let dropped = prepare::dropped(scan, parts, name);
        prepare::statements(&dropped, replace, &fence::new_key())
    };
    names
        .map(|name| (name.to_owned(), statements(name)))
        .collect()
}

/// The clients at work; dropping it ends them.
struct Conducting(tokio::task::JoinHandle<Result<(), LoadError>>);

impl Conducting {
    async fn end(mut self, now: Now) -> Result<(), LoadError> {
        match (&mut self.0).await {
            Ok(ended) => ended,
            Err(_) => Err(LoadError::Broken { after: now.get() }),
        }
    }
}

impl Drop for Conducting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Credentials;

    #[test]
    fn what_a_session_calls_itself_names_what_it_restores_and_fits() {
        let named = |origin: &str| {
            session_name(&Connection {
                host: "h".into(),
                port: 5432,
                database: None,
                credentials: Credentials::new("u", String::new()),
                tls: None,
                origin: origin.to_owned(),
                secret: String::new(),
            })
        };
        assert_eq!(named("demo/shop"), "kubestash-restore demo/shop");
        let long = named(&format!("{}/ä'shop\n", "n".repeat(100)));
        assert!(long.len() <= 63 && long.ends_with("/'shop"), "{long}");
    }
}
