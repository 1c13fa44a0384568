//! A running `mariadb-dump` or `mysqldump`.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use kubestash_domain::args::{self, Tool};
use zeroize::Zeroizing;

use super::client::{Client, Purpose};
use super::encoding::Marked;
use super::server::{self, Server};
use super::{druid_config as settings, history, inexact, options_file, plan};
use crate::druid_config;
use crate::family::{Dump, DumpRequest, Error, Role};
use crate::private_dir::PrivateDir;
use crate::selection::{self, Scope, Wanted};
use crate::stream::{DumpStream, Filter, FirstLine, Judgement, Producer, SILENCE, StreamError};

/// Waits for the server, selects the databases and starts the client.
pub(crate) async fn dump(request: DumpRequest<'_>) -> Result<Dump, Error> {
    if !matches!(request.program, "" | "mysqldump" | "mariadb-dump") {
        return Err(Error::Program {
            given: request.program.to_owned(),
            known: "mysqldump or mariadb-dump",
        });
    }
    let args = args::parse(Tool::MySqlDump, request.args)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Client::present(Purpose::Dump, &path)?;

    let mut server = Server::wait(request.connection, request.wait_timeout).await?;
    let info = server.info.clone();
    let existing = server.databases().await?;

    let ignored: Vec<String> = args
        .flags
        .iter()
        .filter(|flag| flag.option == "ignore-database")
        .filter_map(|flag| flag.value().map(str::to_owned))
        .collect();
    let wanted = Wanted {
        named: request.databases,
        in_args: &args.databases,
        all: args.all_databases,
        ignored: &ignored,
        // Args in the place of a Druid task's default would let its table of users into the dump.
        parameter: "databases",
    };
    let scope = selection::select(wanted, request.role, &existing, info.folds_case)?;
    let metadata = match request.role {
        Role::Plain => None,
        Role::DruidMetadata { linked_db } => {
            selection::metadata_database(linked_db, &existing, info.folds_case)
        }
    };

    let client = Client::find(Purpose::Dump, info.vendor, &path).await?;
    if client.vendor() != info.vendor {
        let tables = args
            .flags
            .iter()
            .filter(|flag| flag.option == "ignore-table");
        let ignored: Vec<&str> = tables.filter_map(|flag| flag.value()).collect();
        let beyond = server
            .beyond_other_client(scope.databases(), &ignored)
            .await?;
        if !beyond.is_empty() {
            return Err(client.foreign(&info, &beyond).into());
        }
    }
    // A dump of several creates its databases itself.
    let encoding = match &scope {
        Scope::One(name) => server.encoding(name).await?,
        Scope::Several(_) => None,
    };
    let mut left_out = args.omits.clone();
    let settings = match metadata.as_deref().filter(|_| request.default_args) {
        Some(database) => {
            let found = settings::read(&mut server, &client, &scope, database).await?;
            if found.is_some() {
                left_out = druid_config::without_table(&left_out);
                left_out.push(druid_config::omitted(database));
            }
            found
        }
        None => None,
    };
    let inexact = inexact::look(&mut server, &scope, &args).await?;
    left_out.extend(inexact.left_out);
    let versioned = history::tables(&mut server, &scope).await?;
    let keeps = server
        .takes("SELECT @@system_versioning_insert_history")
        .await;
    let sequences = server.takes_from_sequences(scope.databases()).await?;
    server.close().await;
    let mut plan = plan::plan(&client, &info, &scope, &args, metadata.as_deref());
    let (word, warning) = history::plan(&client, &args, &versioned, keeps);
    // In front of the names of the databases.
    plan.words.splice(0..0, word);
    // A table that is locked cannot take its next value from a sequence that is not: the dump could
    // not be loaded.
    if sequences && client.knows("add-locks") {
        plan.words.insert(0, "--skip-add-locks".to_owned());
    }
    let scratch = |source| Error::Scratch {
        folder: request.scratch_dir.to_owned(),
        source,
    };
    let private = PrivateDir::create_in(request.scratch_dir).map_err(scratch)?;
    let options = options_file::write(&private, &client, request.connection).map_err(scratch)?;
    let (program, client_version) = (client.name(), client.version().to_owned());
    let clients = Clients {
        client,
        options,
        private: Arc::new(private),
        secret: request.connection.credentials.password().to_owned().into(),
    };
    let main = Marked::new(encoding.as_ref(), FirstLine::new(is_sandbox_line));
    let main = clients
        .start(&plan.words, Box::new(main))
        .map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
    let cancel = request.cancel;
    let stream = match settings {
        None => main.stream(cancel),
        Some(settings) => DumpStream::of(|sender| async move {
            main.pump(&sender, &cancel).await?;
            sender.send(settings.before.into(), &cancel).await?;
            let filter = Box::new(FirstLine::new(is_sandbox_line));
            let rows = clients.start(&settings.words, filter);
            let rows = rows.map_err(|source| StreamError::Start {
                program: clients.client.name(),
                source,
            })?;
            rows.pump(&sender, &cancel).await.map(drop)
        }),
    };
    Ok(Dump {
        stream,
        program,
        client_version,
        server: info.vendor.name(),
        server_version: info.version,
        single: matches!(scope, Scope::One(_)),
        databases: scope.databases().to_vec(),
        words: plan.words,
        notes: plan.notes,
        left_out,
        warnings: warning.into_iter().chain(inexact.warnings).collect(),
    })
}

/// What the clients of a dump have in common.
struct Clients {
    client: Client,
    options: PathBuf,
    private: Arc<PrivateDir>,
    secret: Zeroizing<String>,
}

impl Clients {
    fn start(&self, words: &[String], filter: Box<dyn Filter>) -> std::io::Result<Producer> {
        let mut command = self.client.command();
        command
            .arg(format!("--defaults-file={}", self.options.display()))
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(Producer {
            child: command.spawn()?,
            program: self.client.name(),
            private: Arc::clone(&self.private),
            secret: self.secret.clone(),
            filter,
            judge,
            silence: SILENCE,
        })
    }
}

/// MariaDB's client opens its dumps with a command that MySQL's client takes for an error.
fn is_sandbox_line(line: &[u8]) -> bool {
    line.starts_with(b"/*M!999999\\-")
}

/// Finds the server's code in what a client said: `Got error: 1045: "Access denied …`, `Error 2013:
/// …`, `ERROR 1064 (42000) at line 3: …`.
pub(super) fn judge(said: &str) -> Judgement {
    let lower = said.to_ascii_lowercase();
    let code = lower.match_indices("error").find_map(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches([':', ' ']);
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..digits].parse::<u16>().ok()
    });
    let usage = [
        "unknown option",
        "unknown variable",
        "ambiguous option",
        "illegal table name",
    ];
    let permanent = code.is_some_and(server::is_permanent_code)
        || usage.iter().any(|words| lower.contains(words));
    let hint = if lower.contains("process privilege") {
        Some("grant PROCESS, or add --no-tablespaces to the task parameter args")
    } else if lower.contains("references invalid") {
        Some(
            "correct or drop the view, or leave it out with --ignore-table=database.view in the task parameter args",
        )
    } else {
        None
    };
    Judgement { permanent, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_judged_by_the_servers_code() {
        let cases = [
            (
                "mariadb-dump: Got error: 1045: \"Access denied for user 'x'@'y'\" when trying to connect",
                true,
            ),
            (
                "mysqldump: Got error: 2002: \"Can't connect to server\" when trying to connect",
                false,
            ),
            (
                "mariadb-dump: Error 2013: Lost connection to server during query when dumping table `t`",
                false,
            ),
            (
                "mysqldump: Couldn't execute 'SHOW CREATE TABLE': x (1142)",
                false,
            ),
            ("mysqldump: unknown option '--foo'", true),
            ("mariadb-dump: unknown variable 'foo=1'", true),
            (
                "ERROR 1064 (42000) at line 3: You have an error in your SQL syntax",
                true,
            ),
            ("", false),
            ("error", false),
        ];
        for (said, permanent) in cases {
            assert_eq!(judge(said).permanent, permanent, "{said}");
        }
        let said = "Access denied; you need (at least one of) the PROCESS privilege(s)";
        assert!(judge(said).hint.unwrap().contains("--no-tablespaces"));
    }

    #[test]
    fn only_mariadbs_sandbox_line_is_left_out() {
        assert!(is_sandbox_line(
            b"/*M!999999\\- enable the sandbox mode */ "
        ));
        assert!(!is_sandbox_line(b"-- MariaDB dump 10.19"));
        assert!(!is_sandbox_line(b"/*!40101 SET NAMES utf8 */;"));
    }
}
