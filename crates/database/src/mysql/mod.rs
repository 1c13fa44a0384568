//! MySQL, MariaDB and Percona Server.
//!
//! ```text
//!   client     which program is installed, which options it has
//!   server     wait until it answers; what it is; its databases
//!   plan       the command line (pure)
//!   dump       all of that, then the running client as a stream
//!   druid_config  Druid's settings, behind the rest
//!   history    of system-versioned tables     inexact  what the clients do not dump exactly
//!   encoding   the character set of the database, in front of the dump
//!   target     the server to load into, looked at beforehand
//!   statements how long those of a dump are (pure)      scan  what they do (pure)
//!   structure  which databases and objects it names, and whether it drops what it creates (pure)
//!   facts      what stands in the server, its rules, our rights
//!   prepare    what has to be removed for a dump, and what forbids it (pure)
//!   load       the client that reads a dump
//! ```

mod client;
mod druid_config;
mod dump;
mod encoding;
mod facts;
mod history;
mod inexact;
mod load;
mod options_file;
mod plan;
mod prepare;
mod scan;
mod server;
mod statements;
mod structure;
mod target;

pub use client::{Client, Purpose, Vendor};
pub(crate) use dump::dump;
pub(crate) use load::load;
pub use plan::{Plan, plan};
pub(crate) use scan::{Scan, Scanner};
pub use server::{Server, ServerInfo};
pub use statements::Statements;
pub use structure::Structure;
pub(crate) use structure::StructureReader;
pub(crate) use target::{create_database, examine};

use crate::family::Facts;

pub(crate) const FACTS: Facts = Facts {
    name: "MySQL or MariaDB",
    port: 3306,
    schemes: &["mysql", "mariadb"],
    kinds: &["mysql", "mariadb", "perconaxtradb"],
    dump_marks: &["-- MySQL dump ", "-- MariaDB dump "],
};
