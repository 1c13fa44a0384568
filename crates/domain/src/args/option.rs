//! What we know of the options of a client, and how a table of them is written.

use Value::{Joined, Needed, Switch};
use Verdict::{Pass, Refuse};

/// What an option does with a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// It is on or off.
    Switch,
    /// No value, or one joined by `=`.
    Joined,
    /// A value, joined by `=` or the next word.
    Needed,
}

/// What we do with an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is passed on.
    Pass,
    /// It is passed on, and the log says what that means.
    Told(&'static str),
    /// It is passed on, and keeps something out of the dump that somebody who restores it may miss.
    Omits(&'static str),
    /// It is left out, and the log says why.
    Left(&'static str),
    /// These flags are passed on in its place, and the log says why.
    As(&'static [&'static str], &'static str),
    /// It is refused: nobody could restore the dump, or it would do something else than dump or
    /// load.
    Refuse(&'static str),
    /// Only these values are passed on; with every other one it is refused.
    Only(&'static [&'static str], &'static str),
    /// It selects all databases.
    AllDatabases,
    /// The words behind it are databases.
    Databases,
    /// Its value is a database; an address of a server is refused.
    Database,
}

/// An option of a client.
pub(super) struct Opt {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) value: Value,
    /// What happens when it is given.
    pub(super) on: Verdict,
    /// What happens when it is switched off, as `--skip-x` does.
    pub(super) off: Verdict,
}

impl Opt {
    pub(super) fn verdict(&self, on: bool) -> Verdict {
        if on { self.on } else { self.off }
    }
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
    on: Verdict,
    off: Verdict,
) -> Opt {
    Opt {
        name,
        short,
        value,
        on,
        off,
    }
}

/// One that is passed on, and needs no value.
pub(super) const fn flag(name: &'static str) -> Opt {
    opt(name, None, Switch, Pass, Pass)
}

/// The same with a letter.
pub(super) const fn short(name: &'static str, letter: char) -> Opt {
    opt(name, Some(letter), Switch, Pass, Pass)
}

/// One that is passed on with its value, if it has one.
pub(super) const fn joined(name: &'static str) -> Opt {
    opt(name, None, Joined, Pass, Pass)
}

/// One that is passed on with its value.
pub(super) const fn needs(name: &'static str) -> Opt {
    opt(name, None, Needed, Pass, Pass)
}

/// The same with a letter.
pub(super) const fn needs_short(name: &'static str, letter: char) -> Opt {
    opt(name, Some(letter), Needed, Pass, Pass)
}

/// One with a value that is passed on only if `verdict` says so.
pub(super) const fn valued(name: &'static str, short: Option<char>, verdict: Verdict) -> Opt {
    opt(name, short, Needed, verdict, Pass)
}

/// One whose switching on needs a verdict.
pub(super) const fn on(name: &'static str, short: Option<char>, verdict: Verdict) -> Opt {
    opt(name, short, Switch, verdict, Pass)
}

/// One whose switching off needs a verdict.
pub(super) const fn off(name: &'static str, short: Option<char>, verdict: Verdict) -> Opt {
    opt(name, short, Switch, Pass, verdict)
}

/// One that is refused, whichever way.
pub(super) const fn refused(name: &'static str, verdict: Verdict) -> Opt {
    opt(name, None, Needed, verdict, verdict)
}

/// The same with a letter.
pub(super) const fn refused_short(name: &'static str, letter: char, verdict: Verdict) -> Opt {
    opt(name, Some(letter), Needed, verdict, verdict)
}
