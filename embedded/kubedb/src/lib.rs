//! The embedded database provider: real database servers for MySQL, MariaDB, Postgres, and for
//! Druid's metadata.
//!
//! On a cluster KubeDB reacts to these kinds; without one this crate does, as far as a backup can
//! tell the difference: auth Secrets, AppBindings, phases, deletion policies, and for every
//! database a real server process of its own on loopback. Druid's own processes and ZooKeeper do
//! not run here, and a condition on every Druid says so.
//!
//! ```text
//!   Druid ──druid──► MySQL/<d>-mysql-metadata ──database──► server (one process, supervised)
//!     │              or Postgres/<d>-pg-metadata             ▲ data under <data dir>/databases/<ns>/<kind>-<name>
//!     │                    │                                 └ restarted when it ends
//!     └► AppBinding <d>    └► Secret, AppBinding
//! ```
//! `database` is what all plain kinds share, `server` what all server processes share; `mysql` and
//! `postgres` are the two families; [`run`] strings them together.

mod apply;
mod binding;
mod config;
mod database;
mod druid;
mod error;
mod identity;
mod labels;
mod mysql;
mod postgres;
mod restore;
mod run;
mod secret;
mod server;
mod status;

pub use config::KubedbConfig;
pub use error::KubedbError;
pub use run::run;
