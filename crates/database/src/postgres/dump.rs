//! Running `pg_dump`, one for each database, as one stream.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use kubestash_domain::args::{self, Args, Tool};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::client::{Client, Program};
use super::fence::{self, Fence};
use super::plan::{self, Plan};
use super::sections::{self, Writer};
use super::server::{Database, Server};
use super::service::{self, LineBreak, Service};
use super::{database_settings, druid_config as table, elsewhere, search_path};
use crate::connection::Connection;
use crate::druid_config;
use crate::family::{Dump, DumpRequest, Error, Role};
use crate::private_dir::PrivateDir;
use crate::reach::ServerError;
use crate::selection::{self, Scope, SelectionError, Wanted};
use crate::stream::{DumpStream, Judgement, Producer, SILENCE, Sender, StreamError};

/// Waits for the server, selects the databases and starts the client.
pub(crate) async fn dump(request: DumpRequest<'_>) -> Result<Dump, Error> {
    let whole_server = match request.program {
        "" | "pg_dump" => false,
        "pg_dumpall" => true,
        given => {
            return Err(Error::Program {
                given: given.chars().take(63).collect(),
                known: "pg_dump or pg_dumpall",
            });
        }
    };
    let tool = if whole_server {
        Tool::PgDumpAll
    } else {
        Tool::PgDump
    };
    let args = args::parse(tool, request.args)?;
    let to = request.connection;
    usable(to)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Client::present(Program::Dump, &path)?;

    let server = Server::wait(to, request.role, request.wait_timeout).await?;
    let (info, home) = (server.info.clone(), server.database.clone());
    let databases = server.databases().await?;
    let existing = server.existing(to, request.role, &databases).await?;
    let scope = scope(&request, &args, whole_server, &existing)?;
    let names = scope.as_ref().map_or(&[][..], Scope::databases);
    may_connect(to, names, &databases)?;
    let of_databases = database_settings::left_out(&server, names).await?;
    drop(server);
    if !sections::fits(names) {
        return Err(SelectionError::TooMany(names.len()).into());
    }

    let find = |program| Client::find(program, info.major, &info.version, &path);
    let client = find(Program::Dump).await?;
    let all = match whole_server {
        true => Some(find(Program::DumpAll).await?),
        false => None,
    };
    let mut plan = plan::plan(&client, all.as_ref(), &args);
    let (private, service) = write_files(request.scratch_dir, to).await?;

    let single = match (&scope, &all) {
        (Some(Scope::One(name)), None) => Some(name.clone()),
        _ => None,
    };
    let mut left_out = args.omits.clone();
    left_out.extend(of_databases);
    let mut warnings = Vec::new();
    for name in names {
        let server = Server::another(to, name).await?;
        // No reason not to back up.
        let (elsewhere, doubtful) = (
            elsewhere::left_out(&server).await,
            search_path::warnings(&server).await,
        );
        for (found, list) in [(elsewhere, &mut left_out), (doubtful, &mut warnings)] {
            match found {
                Ok(found) => list.extend(found),
                Err(error) => plan.notes.push(error.to_string()),
            }
        }
    }
    let mut settings = None;
    if request.default_args
        && let Role::DruidMetadata { linked_db } = request.role
        && let Some(name) = selection::metadata_database(linked_db, &existing, false)
            .filter(|name| names.contains(name))
        && let Some(text) = table::read(to, &name).await?
    {
        left_out = druid_config::without_table(&left_out);
        left_out.push(druid_config::omitted(&name));
        settings = Some((name, text));
    }
    let (version, words) = (client.version().to_owned(), plan.words.clone());
    let clients = Clients {
        client,
        all,
        plan,
        service,
        private,
        secret: to.credentials.password().to_owned().into(),
        home,
        settings,
    };
    let notes = clients.plan.notes.clone();
    let databases = names.to_vec();
    let stream = match &single {
        Some(name) => {
            let (cancel, settings) = (request.cancel, clients.settings_of(name));
            let dump = clients.of_database(name).map_err(Error::Stream)?;
            DumpStream::of(|sender| async move {
                dump.pump(&sender, &cancel).await?;
                sender.send(settings, &cancel).await
            })
        }
        None => clients.stream(databases.clone(), request.cancel),
    };
    Ok(Dump {
        stream,
        program: match whole_server {
            true => "pg_dumpall and pg_dump",
            false => "pg_dump",
        }
        .to_owned(),
        client_version: version,
        server: "PostgreSQL",
        server_version: info.version,
        single: single.is_some(),
        databases,
        words,
        notes,
        left_out,
        warnings,
    })
}

/// Whether clients can be given the credentials.
pub(super) fn usable(to: &Connection) -> Result<(), ServerError> {
    service::writable(to).map_err(|LineBreak| ServerError::Refused {
        address: to.address(),
        message:
            "its username or password holds a line break, which PostgreSQL's clients cannot be told"
                .to_owned(),
        secret: to.secret.clone(),
        origin: to.origin.clone(),
    })
}

/// Writes what the clients have to be told.
pub(super) async fn write_files(
    scratch: &Path,
    to: &Connection,
) -> Result<(Arc<PrivateDir>, Service), Error> {
    let failed = |source| Error::Scratch {
        folder: scratch.to_owned(),
        source,
    };
    let private = PrivateDir::create_in(scratch).map_err(failed)?;
    let service = Service::write(&private, to).await.map_err(failed)?;
    Ok((Arc::new(private), service))
}

/// What is dumped; none: only what all databases share.
fn scope(
    request: &DumpRequest<'_>,
    args: &Args,
    whole_server: bool,
    existing: &selection::Existing,
) -> Result<Option<Scope>, SelectionError> {
    let without = |flag: &&str| args.flags.iter().any(|given| given.name == **flag);
    if plan::SERVER_ONLY.iter().any(without) {
        return Ok(None);
    }
    let ignored: Vec<String> = args
        .flags
        .iter()
        .filter(|flag| flag.name == "exclude-database")
        .filter_map(|flag| flag.value().map(str::to_owned))
        .collect();
    let wanted = Wanted {
        named: request.databases,
        in_args: &args.databases,
        all: whole_server,
        ignored: &ignored,
        parameter: "args",
    };
    selection::select(wanted, request.role, existing, false).map(Some)
}

fn may_connect(
    to: &Connection,
    names: &[String],
    databases: &[Database],
) -> Result<(), SelectionError> {
    let closed = databases
        .iter()
        .find(|database| names.contains(&database.name) && !database.connect);
    match closed {
        None => Ok(()),
        Some(database) => Err(SelectionError::Right {
            user: to.credentials.user().to_owned(),
            right: "CONNECT",
            database: database.name.clone(),
        }),
    }
}

/// The clients of a dump, and what they are told.
struct Clients {
    client: Client,
    all: Option<Client>,
    plan: Plan,
    service: Service,
    private: Arc<PrivateDir>,
    secret: Zeroizing<String>,
    /// A database to connect to for what all databases share.
    home: String,
    /// Druid's settings, and the database behind whose dump they stand.
    settings: Option<(String, Bytes)>,
}

impl Clients {
    /// One dump after the other, with an index.
    fn stream(self, databases: Vec<String>, cancel: CancellationToken) -> DumpStream {
        DumpStream::of(|sender| async move {
            let mut writer = Writer::default();
            if self.all.is_some() {
                let before = writer.before(None);
                let sent = self.one(before, self.of_server(), &sender, &cancel).await?;
                writer.after(sent);
            }
            for name in databases {
                let before = writer.before(Some(&name));
                let producer = self.of_database(&name);
                let sent = self.one(before, producer, &sender, &cancel).await?;
                let settings = self.settings_of(&name);
                writer.after(sent + settings.len() as u64);
                sender.send(settings, &cancel).await?;
            }
            sender.send(writer.end().into(), &cancel).await
        })
    }

    async fn one(
        &self,
        before: String,
        producer: Result<Producer, StreamError>,
        sender: &Sender,
        cancel: &CancellationToken,
    ) -> Result<u64, StreamError> {
        sender.send(before.into(), cancel).await?;
        producer?.pump(sender, cancel).await
    }

    /// What stands behind the dump of this database.
    fn settings_of(&self, name: &str) -> Bytes {
        let settings = self.settings.as_ref();
        let settings = settings.filter(|(database, _)| database == name);
        settings.map(|(_, text)| text.clone()).unwrap_or_default()
    }

    fn of_database(&self, name: &str) -> Result<Producer, StreamError> {
        self.start(&self.client, &self.plan.words, &[], name)
    }

    fn of_server(&self) -> Result<Producer, StreamError> {
        let client = self.all.as_ref().unwrap_or(&self.client);
        let home = [format!("--database={}", self.home)];
        self.start(client, &self.plan.server_words, &home, &self.home)
    }

    fn start(
        &self,
        client: &Client,
        words: &[String],
        more: &[String],
        database: &str,
    ) -> Result<Producer, StreamError> {
        let mut command = client.command();
        self.service.show_to(&mut command);
        command.args(words).args(more);
        let key = fence::new_key();
        let fence = match client.knows("restrict-key") {
            true => {
                command.arg(format!("--restrict-key={key}"));
                Fence::of(&key)
            }
            false => Fence::to_server(u32::MAX),
        };
        command
            .arg(self.service.option(database))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn().map_err(|source| StreamError::Start {
            program: client.name(),
            source,
        })?;
        Ok(Producer {
            child,
            program: client.name(),
            private: Arc::clone(&self.private),
            secret: self.secret.clone(),
            filter: Box::new(fence),
            judge,
            silence: SILENCE,
        })
    }
}

/// What to do about a function that finds nothing.
const SEARCH_PATH: &str = "if a function names it without a schema: a restore runs the functions of generated columns, indexes, checks and materialized views with an empty search_path; ALTER FUNCTION … SET search_path = … where it was backed up, and back up again";

/// What the end of a client's error output means.
pub(super) fn judge(said: &str) -> Judgement {
    let permanent = [
        "permission denied",
        "must be owner of",
        "must be superuser",
        "password authentication failed",
        "does not exist",
        "already exists",
        "other objects depend on it",
        "row-level security",
        "server version mismatch",
        "no matching",
        "unrecognized configuration parameter",
        "syntax error",
        "invalid input syntax",
        "violates",
        "duplicate key",
        "cannot be used together",
        "unrecognized option",
        "invalid option",
        "could not open extension control file",
        "is not available",
    ];
    let hints: [(&[&str], &str); 11] = [
        (
            &["due to lock timeout"],
            "another session holds it: look into pg_stat_activity and pg_locks, and end that one",
        ),
        (
            &["permission denied for table pg_authid"],
            "reading passwords needs a superuser: add --no-role-passwords to the task parameter args",
        ),
        (
            &["permission denied for", "LOCK TABLE"],
            "grant the user SELECT on it and USAGE on its schema, or, from PostgreSQL 14 on, the role pg_read_all_data",
        ),
        (
            &["row-level security"],
            "use a user with BYPASSRLS, or dump only what the user may see with --enable-row-security",
        ),
        (&["relation \"", "does not exist"], SEARCH_PATH),
        (&["function ", "does not exist"], SEARCH_PATH),
        (
            &["role \"", "does not exist"],
            "create the role first, or dump with --no-owner --no-privileges in the task parameter args",
        ),
        (
            &["max_locks_per_transaction"],
            "raise max_locks_per_transaction of the server: a restore is one transaction",
        ),
        (
            &["other objects depend on it"],
            "drop them, set the task parameter onConflict to \"replace\" to drop everything in the dump's schemas first, or restore into an empty database",
        ),
        (
            &["must be owner of"],
            "restore as its owner or as a superuser",
        ),
        (
            &["extension", "is not available"],
            "install the extension on the server",
        ),
    ];
    let hint = hints
        .iter()
        .find(|(words, _)| words.iter().all(|word| said.contains(word)));
    Judgement {
        permanent: permanent.iter().any(|words| said.contains(words)),
        hint: hint.map(|(_, hint)| *hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_judged_by_the_servers_words() {
        let cases = [
            (
                "pg_dump: error: query failed: ERROR:  permission denied for table t\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE",
                true,
                Some("pg_read_all_data"),
            ),
            (
                "ERROR:  permission denied for table pg_authid",
                true,
                Some("--no-role-passwords"),
            ),
            (
                "pg_dump: error: connection to server failed: server closed the connection unexpectedly",
                false,
                None,
            ),
            (
                "psql:<stdin>:12: ERROR:  role \"alice\" does not exist",
                true,
                Some("create the role"),
            ),
            (
                "ERROR:  canceling statement due to lock timeout",
                false,
                Some("pg_stat_activity"),
            ),
            ("", false, None),
        ];
        for (said, permanent, hint) in cases {
            let judged = judge(said);
            assert_eq!(judged.permanent, permanent, "{said}");
            assert_eq!(judged.hint.is_some(), hint.is_some(), "{said}");
            if let Some(words) = hint {
                assert!(judged.hint.unwrap().contains(words), "{said}");
            }
        }
    }
}
