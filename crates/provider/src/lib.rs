//! The embedded database provider: real database servers for Druid's metadata.
//!
//! On a cluster KubeDB reacts to `Druid` and `MySQL` objects; without one this crate does, as far as a backup can
//! tell the difference: auth Secrets, AppBindings, phases, deletion policies, and for every database a real
//! MySQL-compatible server process of its own on loopback. Druid's own processes and ZooKeeper do not run here, and
//! a condition on every Druid says so.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod run;

pub use config::ProviderConfig;
pub use run::{ProviderError, run};
