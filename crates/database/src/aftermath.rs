//! What a load that failed leaves behind.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::selection::quoted;

/// What is true of the databases after a load that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// They are as they were.
    Undone,
    /// They are as they were; what belongs to the whole server was loaded before.
    ServerLoaded,
    /// These are restored, and the others are as they were.
    Restored(Vec<String>),
    /// Each is restored or as it was, and which of these it is nobody knows.
    Unknown(Vec<String>),
    /// The dump ended the transaction of this one by itself.
    Escaped(String),
    /// One may hold a part of the dump.
    Part,
}

impl Aftermath {
    /// Whether another restore is needed.
    pub fn is_unfinished(&self) -> bool {
        matches!(self, Self::Restored(_) | Self::Unknown(_) | Self::Part)
    }
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undone => f.write_str("the database is as it was before"),
            Self::ServerLoaded => f.write_str(
                "every database that was there is as it was before; roles, tablespaces and databases that the dump creates may be there now",
            ),
            Self::Restored(names) => write!(
                f,
                "restored as a whole: {}; every other database is as it was before",
                quoted(names)
            ),
            Self::Unknown(names) => write!(
                f,
                "each of these is either restored as a whole or as it was before: {}",
                quoted(names)
            ),
            Self::Escaped(name) => write!(
                f,
                "the dump ended its transaction in the database {name:?} itself, which holds whatever the dump committed there"
            ),
            Self::Part => {
                f.write_str("the database may hold a part of the restore")
            }
        }
    }
}

/// What would be true if a load ended now.
#[derive(Clone, Debug)]
pub(crate) struct Now(Arc<Mutex<Aftermath>>);

impl Now {
    pub(crate) fn new(aftermath: Aftermath) -> Self {
        Self(Arc::new(Mutex::new(aftermath)))
    }

    pub(crate) fn get(&self) -> Aftermath {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    pub(crate) fn set(&self, aftermath: Aftermath) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = aftermath;
    }
}
