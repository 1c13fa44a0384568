//! What we know of the options of a client, and how a table of them is written.

use Value::{Joined, Needed};
use Verdict::{Pass, Refuse};

/// What an option does with a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// No value, or only one joined by `=`.
    Joined,
    /// A value, joined by `=` or the next word.
    Needed,
}

/// What we do with an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Refuse(&'static str),
    AllDatabases,
    Databases,
    /// A database by its name; an address of a server is refused.
    Database,
    /// A value of the option that we can do with; every other one is refused.
    Only(&'static [&'static str], &'static str),
}

/// An option of a client.
pub(super) struct Opt {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) value: Value,
    pub(super) verdict: Verdict,
}

pub(super) const HOST: Verdict =
    Refuse("chooses where to connect, which comes from the AppBinding");
pub(super) const CREDENTIALS: Verdict =
    Refuse("changes the credentials, which come from the AppBinding's Secret");
pub(super) const FILES: Verdict = Refuse("reads or writes files");
pub(super) const EXECUTES: Verdict = Refuse("runs code or statements");
pub(super) const NO_DUMP: Verdict = Refuse("makes the client print something else than a dump");

/// An option.
pub(super) const fn opt(
    name: &'static str,
    short: Option<char>,
    value: Value,
    verdict: Verdict,
) -> Opt {
    Opt {
        name,
        short,
        value,
        verdict,
    }
}

/// One that is passed on, and needs no value.
pub(super) const fn flag(name: &'static str) -> Opt {
    opt(name, None, Joined, Pass)
}

/// The same with a letter.
pub(super) const fn short(name: &'static str, letter: char) -> Opt {
    opt(name, Some(letter), Joined, Pass)
}

/// One that is passed on with its value.
pub(super) const fn needs(name: &'static str) -> Opt {
    opt(name, None, Needed, Pass)
}

/// The same with a letter.
pub(super) const fn needs_short(name: &'static str, letter: char) -> Opt {
    opt(name, Some(letter), Needed, Pass)
}

/// One that is refused.
pub(super) const fn refused(name: &'static str, verdict: Verdict) -> Opt {
    opt(name, None, Needed, verdict)
}

/// The same with a letter.
pub(super) const fn refused_short(name: &'static str, letter: char, verdict: Verdict) -> Opt {
    opt(name, Some(letter), Needed, verdict)
}
