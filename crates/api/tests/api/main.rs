//! The types of the API, their schemas and their rules, seen from outside.

#![cfg(test)]

mod checked_in;
mod examples;
mod field_table;
mod objects;
mod schema;
mod structural;
mod validation;
