//! MySQL and MariaDB servers: one family, served by whichever of the two is installed.

mod accounts;
mod client;
mod program;

pub(crate) use client::execute;
use kubestash_node::supervisor::StopSignal;

use crate::secret::Credentials;
use crate::server::{Command, Engine, HOME, Program, Silence};
use crate::{KubedbConfig, KubedbError};

/// The family.
pub(crate) struct Mysql;

impl Engine for Mysql {
    const USER: &'static str = "mysql";
    const STOP: StopSignal = StopSignal::Terminate;
    const FILES: &'static [(&'static str, &'static str)] = &[];

    async fn find(kind: &str, config: &KubedbConfig) -> Result<Program, KubedbError> {
        program::find(kind, &config.search_path).await
    }

    fn initialise(program: &Program, search_path: &str) -> Result<Command, String> {
        program::initialise(program, search_path)
    }

    /// The server sets its passwords itself when it starts.
    fn prepare(_: &Program, _: &Credentials) -> Option<Command> {
        None
    }

    /// It sets its passwords from standard input before it takes connections.
    fn serve(program: &Program, port: u16, credentials: &Credentials, first: bool) -> Command {
        let statements = accounts::statements(credentials, first);
        Command {
            program: program.path.clone(),
            args: arguments(port),
            stdin: Some(statements.as_str().into()),
        }
    }

    async fn probe(port: u16, credentials: &Credentials) -> Result<(), Silence> {
        match client::connect(port, credentials).await {
            Ok(connection) => {
                // The answer has been given; how the connection ends does not matter.
                let _ = connection.disconnect().await;
                Ok(())
            }
            Err(error @ mysql_async::Error::Server(_)) => Err(Silence::Refused(
                KubedbError::database("log in to the server")(error),
            )),
            Err(error) => Err(Silence::NotYet(KubedbError::database(
                "connect to the server",
            )(error))),
        }
    }

    async fn finish(port: u16, credentials: &Credentials) -> Result<(), KubedbError> {
        accounts::remove_open_ones(port, credentials).await
    }
}

/// Settings of a server: small, safe, and on loopback only. `loose` ones are unknown to some
/// servers.
fn arguments(port: u16) -> Vec<String> {
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={HOME}/data"),
        format!("--socket={HOME}/data/mysqld.sock"),
        format!("--pid-file={HOME}/data/mysqld.pid"),
        format!("--tmpdir={HOME}/tmp"),
        format!("--port={port}"),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--init-file=/dev/stdin",
        "--skip-log-bin",
        "--character-set-server=utf8mb4",
        "--max-allowed-packet=1G",
        "--max-connections=100",
        "--key-buffer-size=1M",
        "--innodb-buffer-pool-size=32M",
        "--innodb-flush-log-at-trx-commit=1",
        "--loose-innodb-log-file-size=8M",
        "--loose-aria-pagecache-buffer-size=8M",
        "--loose-performance-schema=OFF",
        "--loose-mysqlx=OFF",
    ];
    arguments.extend(fixed.map(str::to_owned));
    arguments
}
