//! The session side of the operator against the embedded API server, with a stand-in for the node.
#![cfg(test)]

mod blueprints;
mod consent;
mod lifecycle;
mod outcomes;
mod queue;
mod schedules;
mod support;
mod tutorial;
mod waiting;
