//! PostgreSQL.
//!
//! ```text
//!   client     which program is installed, of which version, with which options
//!   service    the files that tell a client where to connect, and as whom
//!   server     wait until it answers; what it is; its databases       tls  its encryption
//!   plan       the command lines (pure)
//!   dump       all of that, then the running clients as one stream
//!   druid_config  Druid's settings, behind the dump of its database
//!   database_settings, elsewhere, search_path  what a dump does not hold, and what may keep it from coming back
//!   sections   a stream of several databases: who is where (pure)     fence  psql's own safeguard
//!   target     the server to load into, looked at beforehand
//!   prepare    what makes room for a dump in its target (pure)
//!   load       one psql for each database, all in open transactions, committed together
//! ```

mod client;
mod database_settings;
mod druid_config;
mod dump;
mod elsewhere;
mod fence;
mod globals;
mod layout;
mod load;
mod plan;
mod prepare;
mod scan;
mod search_path;
mod sections;
mod server;
mod service;
mod target;
mod tls;

pub(crate) use dump::dump;
pub(crate) use load::load;
pub(crate) use scan::{Scan, Scanner};
pub(crate) use sections::has_index;
pub(crate) use target::{create_database, examine};

use crate::family::Facts;

pub(crate) const FACTS: Facts = Facts {
    name: "PostgreSQL",
    port: 5432,
    schemes: &["postgresql", "postgres"],
    kinds: &["postgres", "postgresql"],
    dump_marks: &["-- PostgreSQL database "],
};

/// A name as SQL writes it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}
