//! A corpus of schemas with every kind of object that a family has: each is dumped, changed by
//! typical migrations, and restored over what it has become and into an empty server.
//!
//! ```text
//!   schema ─► before ─► dump ─┬─► for each migration: apply, restore over it, compare with before
//!                             └─► restore into an empty server, compare with before
//! ```
#![cfg(test)]

mod contents;
#[path = "../support/drain.rs"]
mod drain;
mod migrations;
mod mysql;
mod postgres;
#[path = "../support/round_trip.rs"]
mod round_trip;
#[path = "../postgres/server.rs"]
#[allow(dead_code, unreachable_pub)]
mod server;
#[path = "../support/mod.rs"]
mod support;
#[path = "../postgres/task.rs"]
#[allow(dead_code, unreachable_pub)]
mod task;
