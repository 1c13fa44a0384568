//! The options of MySQL's and MariaDB's own clients, all released versions together.

mod client;
mod dump;

pub(super) use client::CLIENT;
pub(super) use dump::DUMP;

use super::option::Verdict::{self, Only, Refuse};

const OPTION_FILES: Verdict =
    Refuse("chooses option files, which may hold another host or password");
const CHARACTERS: Verdict = Only(
    &["utf8mb4"],
    "stores a question mark for every character that it lacks (utf8mb4 has all of them, and is always used)",
);
