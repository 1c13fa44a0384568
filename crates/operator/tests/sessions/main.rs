//! The session side of the operator against the embedded API server, with a stand-in for the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blueprints;
mod consent;
mod lifecycle;
mod outcomes;
mod queue;
mod schedules;
mod support;
mod tutorial;
mod waiting;
