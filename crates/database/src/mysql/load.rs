//! A running `mariadb` or `mysql` that reads a dump.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::Arc;

use kubestash_domain::args::{self, Tool};

use super::client::{Client, Purpose};
use super::dump::judge;
use super::encoding::Encoding;
use super::server::Server;
use super::{options_file, prepare};
use crate::aftermath::{Aftermath, Now};
use crate::family::{Error, Load, LoadRequest, Role};
use crate::flags;
use crate::load::{Input, LoadClient, LoadSink, RunningLoad};
use crate::lowered::Lowered;
use crate::outline::Found;
use crate::reach::ServerError;
use crate::stderr_tail::StderrTail;
use crate::stream::{Judgement, collect};

/// The client's own words: MariaDB's puts the failing statement in front of them, and with it rows
/// of the user's data, which are nobody else's business.
fn complaint(said: &StderrTail, secrets: &[&str]) -> String {
    said.last("ERROR ", secrets)
}

/// What the reason means, for whoever loads.
fn judge_load(said: &str) -> Judgement {
    let judgement = judge(said);
    Judgement {
        hint: judgement.hint.or_else(|| remedy(said)),
        ..judgement
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
    let mut server = Server::wait(request.connection, request.wait_timeout).await?;
    let info = server.info.clone();
    let before = first_statements(&mut server, &request).await;
    server.close().await;
    let before = before?;

    let client = Client::find(Purpose::Load, info.vendor, &path).await?;
    let mut words = vec![
        "--max-allowed-packet=1G".to_owned(),
        "--default-character-set=utf8mb4".to_owned(),
    ];
    let mut notes = args.notes;
    // Left to the server, a table that somebody holds is waited for until tomorrow.
    if client.knows("init-command") {
        let seconds = request.wait_timeout.as_secs().max(1);
        words.push(format!(
            "--init-command=SET SESSION lock_wait_timeout={seconds}"
        ));
    }
    // A new session would lack what the dump has set in the old one.
    if client.knows("reconnect") {
        words.push("--skip-reconnect".to_owned());
    }
    // Otherwise the client takes comments out of triggers and events, and with them the end of the
    // statement.
    if client.knows("comments") {
        words.push("--comments".to_owned());
    }
    for flag in &args.flags {
        if flags::fits(flag, &client.name(), |name| client.knows(name), &mut notes) {
            words.push(flag.word.clone());
        }
    }
    // The dump has the same character set in its first lines; binary mode keeps `\r\n` and NULs in
    // data, and knows none of the client's own commands but DELIMITER. The other two keep a
    // dump and its server from this machine's files.
    words.push("--binary-mode".to_owned());
    for (option, word) in [
        ("local-infile", "--local-infile=0"),
        ("sandbox", "--sandbox"),
    ] {
        if client.knows(option) {
            words.push(word.to_owned());
        }
    }
    words.push("--".to_owned());
    words.extend(request.database.map(str::to_owned));

    let scratch = |source| Error::Scratch {
        folder: request.scratch_dir.to_owned(),
        source,
    };
    let prepared = Lowered::prepare(client.path(), request.scratch_dir, &mut notes).await;
    let (lowered, private) = prepared.map_err(scratch)?;
    let options = options_file::write(&private, &client, request.connection).map_err(scratch)?;
    lowered.own(&private).map_err(scratch)?;
    let mut command = client.command();
    command
        .arg(format!("--defaults-file={}", options.display()))
        .args(&words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    lowered.apply(&mut command);
    let start = |source| Error::Start {
        program: client.name(),
        source,
    };
    let mut child = command.spawn().map_err(start)?;
    let (Some(stdin), Some(stderr)) = (child.stdin.take(), child.stderr.take()) else {
        return Err(start(io::ErrorKind::BrokenPipe.into()));
    };
    let input = File::from(stdin.into_owned_fd().map_err(start)?);
    let sink = LoadSink::new(Without {
        first: match &request.outline.found {
            Found::MySql(scan) => scan.sandbox,
            Found::Postgres(_) | Found::Nothing => 0,
        },
        before,
        input,
    });
    let mut running = LoadClient {
        child,
        program: client.name(),
        said: collect(stderr),
        secret: request.connection.credentials.password().to_owned().into(),
        reason: complaint,
        judge: judge_load,
        _private: Arc::new(private),
    };
    Ok(Load {
        sink,
        running: RunningLoad::new(
            async move { running.wait(Aftermath::Part).await },
            Now::new(Aftermath::Part),
        ),
        program: client.name(),
        server: info.vendor.name(),
        server_version: info.version,
        words,
        notes,
    })
}

/// What the client does before the dump: it sets the session so that what once existed can exist
/// again, and removes what stands where the dump creates something. In the client's own session, so
/// nothing is removed before it works; without a line break, so that the lines of the dump keep
/// their numbers.
async fn first_statements(
    server: &mut Server,
    request: &LoadRequest<'_>,
) -> Result<Vec<u8>, ServerError> {
    let structure = &request.outline.structure;
    let standing = match structure.objects.is_empty() {
        true => Vec::new(),
        false => server.standing().await?,
    };
    let drops = prepare::drops(
        structure,
        request.database,
        &standing,
        server.info.folds_case,
    );
    let mut text = String::new();
    let of_one = Encoding::of(&request.outline.head);
    let had = structure.encodings.iter();
    let had = had.map(|(name, had)| (name.as_str(), had));
    let had = had.chain(request.database.zip(of_one.as_ref()));
    let (have, collations) = (server.encodings().await?, server.collations().await?);
    let is_druid = matches!(request.role, Role::DruidMetadata { .. });
    for statement in prepare::encodings(had, &have, &collations, is_druid) {
        text.push_str(&format!("{statement} "));
    }
    for setting in server.lenient().await {
        text.push_str(&format!("{setting}; "));
    }
    if !drops.is_empty() {
        text.push_str("SET @kubestash_checks = @@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS = 0; ");
        text.push_str(&drops.join(" "));
        text.push_str(" SET FOREIGN_KEY_CHECKS = @kubestash_checks; ");
    }
    Ok(text.into_bytes())
}

/// Puts statements in front of a dump, and leaves out the dump's first bytes: a line that is a
/// command for MariaDB's client and an error for MySQL's.
struct Without {
    first: u64,
    before: Vec<u8>,
    input: File,
}

impl Write for Without {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let left_out = usize::try_from(self.first).unwrap_or(usize::MAX);
        if left_out > 0 {
            let count = left_out.min(buffer.len());
            self.first -= count as u64;
            return Ok(count);
        }
        if !self.before.is_empty() {
            self.input.write_all(&std::mem::take(&mut self.before))?;
        }
        self.input.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for Without {
    fn end(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(said: &str) -> String {
        let mut tail = StderrTail::default();
        tail.push(said.as_bytes());
        complaint(&tail, &[])
    }

    #[test]
    fn of_what_a_client_says_no_statement_remains() {
        let error = "ERROR 1146 (42S02) at line 1: Table 'q.nope' doesn't exist";
        let said = format!(
            "--------------\ninsert into nope values ('private')\n--------------\n\n{error}"
        );
        assert_eq!(words(&said), error);
        assert_eq!(words(error), error);
        assert_eq!(
            words("mariadb: unknown option '--x'"),
            "mariadb: unknown option '--x'"
        );
    }

    #[test]
    fn a_long_reason_is_told_from_its_beginning() {
        let error = format!("ERROR 1785 (HY000) at line 359: {}", "why ".repeat(100));
        assert_eq!(words(&error), error.trim());
        assert_eq!(
            words(&format!("--------------\nrow\n\n{error}")),
            error.trim()
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
