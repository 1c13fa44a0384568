//! MySQL, MariaDB and Percona Server.
//!
//! ```text
//!   client     which program is installed, which options it has
//!   server     wait until it answers; what it is; its databases
//!   selection  which databases (pure)            plan  the command line (pure)
//!   dump       all of that, then the running client as a stream
//!   load       the client that reads a dump
//! ```

mod client;
mod dump;
mod load;
mod options_file;
mod plan;
mod selection;
mod server;

pub use client::{Client, ClientError, Purpose, Vendor};
pub use load::{LoadError, LoadSink, RunningLoad};
pub use plan::{Plan, PlanError, plan};
pub use selection::{DRUID, Scope, SelectionError, Wanted, metadata_database, select};
pub use server::{Existing, Server, ServerError, ServerInfo};

pub(crate) use dump::dump;
pub(crate) use load::load;
