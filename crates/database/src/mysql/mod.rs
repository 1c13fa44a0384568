//! MySQL, MariaDB and Percona Server.
//!
//! ```text
//!   client     which program is installed, which options it has
//!   server     wait until it answers; what it is; its databases
//!   selection  which databases (pure)            plan  the command line (pure)
//!   dump       all of that, then the running client as a stream
//!   target     the server to load into, looked at beforehand
//!   statements how long those of a dump are (pure)
//!   load       the client that reads a dump
//! ```

mod client;
mod dump;
mod load;
mod options_file;
mod plan;
mod selection;
mod server;
mod statements;
mod target;

pub use client::{Client, ClientError, Purpose, Vendor};
pub use load::{LoadError, LoadSink, RunningLoad};
pub use plan::{Plan, PlanError, plan};
pub use selection::{DRUID, Scope, SelectionError, Wanted, metadata_database, select};
pub use server::{Existing, Server, ServerError, ServerInfo};
pub use statements::Statements;
pub use target::{Target, TargetError};

pub(crate) use dump::dump;
pub(crate) use load::load;
pub(crate) use target::{create_database, examine};
