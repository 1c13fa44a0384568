//! The types of the API, their schemas and their rules, seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checked_in;
mod examples;
mod field_table;
mod objects;
mod schema;
mod structural;
mod validation;
