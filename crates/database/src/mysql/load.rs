//! A running `mariadb` or `mysql` that reads a dump.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::sync::Arc;

use kubestash_core::args::{self, Tool};

use super::client::{Client, Purpose};
use super::dump::judge;
use super::options_file;
use super::server::Server;
use crate::family::{Error, Load, LoadRequest};
use crate::flags;
use crate::load::{LoadClient, LoadSink, RunningLoad};
use crate::private_dir::PrivateDir;
use crate::stream::collect;

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
    for flag in &args.flags {
        if flags::fits(flag, &client.name(), |name| client.knows(name), &mut notes)? {
            words.push(flag.word.clone());
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
    let sink = LoadSink::new(File::from(stdin.into_owned_fd().map_err(start)?));
    let mut running = LoadClient {
        child,
        program: client.name(),
        said: collect(stderr),
        secret: request.connection.credentials.password().to_owned().into(),
        judge,
        _private: Arc::new(private),
    };
    Ok(Load {
        sink,
        running: RunningLoad::new(async move { running.wait(false).await }, false),
        program: client.name(),
        server_version: info.version,
        words,
        notes,
    })
}
