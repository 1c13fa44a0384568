//! What there is to know about the statements of a dump before one of them is run: pure, and in one
//! pass.
//!
//! ```text
//!   bytes ─► lexer (each family's own) ─► tokens of a statement ─► what it does ─► Faults
//! ```
//! A scanner follows quotes, comments, data and the client's own commands exactly as the client
//! does, so that it knows what is a statement and what is data. It knows the text only: what a
//! function does when it runs, nobody knows beforehand.

mod lines;
mod tokens;

pub(crate) use lines::Lines;
pub(crate) use tokens::{Kind, Tokens};

/// At most this many faults are kept.
const KEPT: usize = 100;

/// What whoever restores has said that a dump may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// It may lack its last line, which says that it is whole (the task parameter
    /// `allowIncomplete`).
    pub incomplete: bool,
    /// It may change the server's users, settings and system tables, and let the server read and
    /// write files (the task parameter `allowServerChanges`).
    pub server_changes: bool,
    /// Everything in the schemas that it has objects in is dropped first (`replace` in the task
    /// parameter `onConflict`).
    pub replace: bool,
}

/// Something in a dump that stands against loading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What it is.
    pub(crate) what: &'static str,
    /// Where it begins.
    pub(crate) offset: u64,
    /// In which line.
    pub(crate) line: u64,
}

/// The first faults of a kind, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    kept: Vec<Fault>,
    count: u64,
}

impl Faults {
    pub(crate) fn push(&mut self, what: &'static str, offset: u64, line: u64) {
        self.count += 1;
        if self.kept.len() < KEPT {
            self.kept.push(Fault { what, offset, line });
        }
    }

    /// Puts them into the order in which they stand in the dump.
    pub(crate) fn sort(&mut self) {
        self.kept.sort_by_key(|fault| fault.offset);
    }

    /// The first ones.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.kept.iter()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// As a sentence's end: `ALTER SYSTEM in line 7, DROP ROLE in line 9 and 3 more`.
    pub(crate) fn told(&self) -> String {
        told(&self.kept, self.count)
    }
}

/// Most faults in one sentence.
const TOLD: usize = 5;

fn told(faults: &[Fault], count: u64) -> String {
    let shown = faults.iter().take(TOLD);
    let mut text = shown
        .map(|fault| format!("{} in line {}", fault.what, fault.line))
        .collect::<Vec<_>>()
        .join(", ");
    let more = count.saturating_sub(TOLD as u64);
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Whether a dump is whole, as far as its text says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its last line says so.
    #[default]
    Said,
    /// It has no last line that says so.
    Unsaid,
    /// It ends within something.
    Within(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_faults_are_told_with_their_lines_and_the_rest_is_counted() {
        let mut faults = Faults::default();
        for line in 1..=200 {
            faults.push("ALTER SYSTEM", line * 10, line);
        }
        assert!(faults.told().starts_with("ALTER SYSTEM in line 1, "));
        assert!(
            faults.told().ends_with("in line 5 and 195 more"),
            "{}",
            faults.told()
        );
        assert_eq!(faults.iter().count(), KEPT);
    }
}
