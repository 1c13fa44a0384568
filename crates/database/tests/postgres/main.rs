//! Dumps and loads with a real PostgreSQL server and the real clients.
#![cfg(test)]
#![allow(unreachable_pub)]

#[path = "../support/drain.rs"]
mod drain;
mod encryption;
mod faults;
mod flags;
mod hostile;
mod many;
mod migrations;
#[path = "../support/options.rs"]
mod options;
mod over;
mod remarks;
mod server;
mod several;
mod task;
mod truth;
