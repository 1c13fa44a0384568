//! The whole product, as a user meets it: `kubestash up`, the real kubectl, a real database server,
//! a real GCS emulator and the real restic.
#![cfg(test)]
#![allow(unreachable_pub)]

mod backends;
mod bad_input;
mod canary;
mod crash;
mod encryption;
mod failpoint;
mod manifest;
mod plain;
mod postgres;
mod program;
mod recovery;
mod restore;
mod restore_faults;
#[path = "../../../engine/tests/support/servers.rs"]
mod servers;
mod support;
mod tutorial;
mod up;
