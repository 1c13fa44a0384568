//! What is wrong with a word that is not one of an enumeration's.

use std::fmt;

/// A word that is not a value of the enumeration it was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    enumeration: &'static str,
    word: String,
    known: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) fn new(
        enumeration: &'static str,
        word: &str,
        known: &'static [&'static str],
    ) -> Self {
        Self {
            enumeration,
            word: word.to_owned(),
            known,
        }
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "failed to read {:?} as {}: use one of {}",
            self.word,
            self.enumeration,
            self.known.join(", ")
        )
    }
}

impl std::error::Error for UnknownWord {}
