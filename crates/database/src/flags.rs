//! The flags of a task's args, and whether the installed client has them.

use kubestash_domain::args::Flag;

/// Whether the client called `name` takes the flag. One that only other clients of the family have
/// is left out with a note; one that none has was refused when the args were read.
pub(crate) fn fits(
    flag: &Flag,
    name: &str,
    knows: impl Fn(&str) -> bool,
    notes: &mut Vec<String>,
) -> bool {
    if knows(&flag.name) || knows(flag.option) {
        return true;
    }
    notes.push(format!("{name} does not know --{}: left out", flag.name));
    false
}
