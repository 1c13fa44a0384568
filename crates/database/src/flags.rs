//! The flags of a task's args, and whether the installed client has them.

use kubestash_core::args::Flag;

/// A flag that no client has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to accept the task parameter args: {client} has no flag --{flag}; correct or remove it"
)]
pub struct FlagError {
    /// The flag's name.
    pub flag: String,
    /// The client's name.
    pub client: String,
}

impl FlagError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        "ArgsInvalid"
    }
}

/// Whether the client called `name` takes the flag. One that other clients of the family have is left out with a
/// note; one that none has is a typing error.
///
/// # Errors
/// [`FlagError`] for a flag that no client has.
pub(crate) fn fits(
    flag: &Flag,
    name: &str,
    knows: impl Fn(&str) -> bool,
    notes: &mut Vec<String>,
) -> Result<bool, FlagError> {
    if knows(&flag.name) || knows(flag.option()) {
        return Ok(true);
    }
    if !flag.documented {
        return Err(FlagError {
            flag: flag.name.clone(),
            client: name.to_owned(),
        });
    }
    notes.push(format!("{name} does not know --{}: left out", flag.name));
    Ok(false)
}
