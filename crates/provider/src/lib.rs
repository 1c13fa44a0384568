//! The embedded database provider: real database servers for Druid's metadata.
//!
//! On a cluster KubeDB reacts to `Druid` and `MySQL` objects; without one this crate does, as far as a backup can
//! tell the difference: auth Secrets, AppBindings, phases, deletion policies, and for every database a real
//! MySQL-compatible server process of its own on loopback. Druid's own processes and ZooKeeper do not run here, and
//! a condition on every Druid says so.
//!
//! ```text
//!   Druid ──druid──► MySQL/<d>-mysql-metadata ──mysql──► server (one process, supervised)
//!     │                    │                               ▲ data under <data dir>/databases/<ns>/mysql-<name>
//!     └► AppBinding <d>    └► Secret, AppBinding           └ restarted when it ends
//! ```
//! Each family is a folder; [`run`] strings them together.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod apply;
mod config;
mod druid;
mod error;
mod identity;
mod labels;
mod mysql;
mod restore;
mod run;
mod secret;
mod status;

pub use config::ProviderConfig;
pub use error::ProviderError;
pub use run::run;
