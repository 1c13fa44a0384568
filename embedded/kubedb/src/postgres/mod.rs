//! PostgreSQL servers.

mod accounts;
mod client;
mod program;

pub(crate) use client::{create_database, execute};
use kubestash_node::supervisor::StopSignal;

use crate::secret::Credentials;
use crate::server::{Command, Engine, HOME, Program, Silence};
use crate::{KubedbConfig, KubedbError};

/// The family.
pub(crate) struct Postgres;

/// Who gets in: whoever knows a password, over TCP on loopback. There is no other way in.
const ACCESS: (&str, &str) = ("pg_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n");

impl Engine for Postgres {
    const USER: &'static str = "postgres";
    /// On SIGTERM it would wait until its last client has gone.
    const STOP: StopSignal = StopSignal::Interrupt;
    const FILES: &'static [(&'static str, &'static str)] = &[ACCESS];

    async fn find(_: &str, config: &KubedbConfig) -> Result<Program, KubedbError> {
        program::find(config).await
    }

    fn initialise(program: &Program, _: &str) -> Result<Command, String> {
        program::initialise(program)
    }

    /// Sets the password without a server: in single-user mode, which nobody can connect to.
    fn prepare(program: &Program, credentials: &Credentials) -> Option<Command> {
        let args = ["--single", "-j", "-D", DATA];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        // A statement that fails must not appear in the log: it holds the password.
        args.extend(settings(&[
            ("log_min_error_statement", "panic"),
            ("log_statement", "none"),
        ]));
        args.push("template1".to_owned());
        Some(Command {
            program: program.path.clone(),
            args,
            stdin: Some(accounts::statements(credentials).as_str().into()),
        })
    }

    fn serve(program: &Program, port: u16, _: &Credentials, _: bool) -> Command {
        let mut args = vec!["-D".to_owned(), DATA.to_owned()];
        let (port, access) = (port.to_string(), format!("{HOME}/{}", ACCESS.0));
        args.extend(settings(&[("port", &port), ("hba_file", &access)]));
        args.extend(settings(&SETTINGS));
        Command {
            program: program.path.clone(),
            args,
            stdin: None,
        }
    }

    async fn probe(port: u16, credentials: &Credentials) -> Result<(), Silence> {
        client::probe(port, credentials).await
    }

    /// A new server has no accounts that would have to be removed.
    async fn finish(_: u16, _: &Credentials) -> Result<(), KubedbError> {
        Ok(())
    }
}

/// Where the server sees its data.
const DATA: &str = "/kubestash-database/data";

/// Settings of a server: small, safe, and on loopback only. Those of the command line win over
/// everything that a client can change.
const SETTINGS: [(&str, &str); 16] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("password_encryption", "scram-sha-256"),
    ("ssl", "off"),
    ("max_connections", "100"),
    // A dump, and a restore in one transaction, of a few thousand tables with their indexes and
    // sequences.
    ("max_locks_per_transaction", "512"),
    ("shared_buffers", "32MB"),
    ("max_wal_size", "256MB"),
    ("jit", "off"),
    // Nothing stays in /dev/shm when the server is killed.
    ("dynamic_shared_memory_type", "mmap"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    // What fails may hold a password.
    ("log_min_error_statement", "panic"),
    ("log_statement", "none"),
];

fn settings<'a>(settings: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = String> + use<'a> {
    settings
        .iter()
        .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn the_data_is_in_the_home_of_servers_and_the_password_is_no_argument() {
        assert_eq!(DATA, format!("{HOME}/data"));
        let program = Program {
            path: "/p".into(),
            product: "PostgreSQL",
            version: "15.18".into(),
        };
        let credentials = Credentials {
            username: "postgres".into(),
            password: Zeroizing::new("hunter2".into()),
        };
        let commands = [
            Postgres::prepare(&program, &credentials).unwrap(),
            Postgres::serve(&program, 20_000, &credentials, true),
        ];
        for command in commands {
            assert!(!command.args.iter().any(|arg| arg.contains("hunter2")));
        }
    }
}
