//! What can be wrong with a command line.

/// A command line that cannot be understood. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// No Function.
    #[error("failed to start: name the Function to run, e.g. kubestash execute mysql-backup …")]
    NoFunction,
    /// A Function that we do not run.
    #[error(
        "failed to run Function {0:?}: this version of kubestash runs mysql-backup, mariadb-backup, postgres-backup, mysql-restore, mariadb-restore, postgres-restore, kubedbmanifest-backup and kubedbmanifest-restore; name a task that uses one of them"
    )]
    UnknownFunction(String),
    /// The Function was given another one's verb.
    #[error(
        "failed to run Function {function:?}: its first argument is {verb:?} and must be {expected:?}; install the catalog's Function again (kubestash catalog)"
    )]
    Verb {
        /// The Function.
        function: String,
        /// The word given.
        verb: String,
        /// The word that belongs there.
        expected: &'static str,
    },
    /// A word that is no flag.
    #[error("failed to read the arguments: {0:?} is not a flag --name=value")]
    NoFlag(String),
    /// A flag that is needed.
    #[error(
        "failed to read the arguments: --{0} is missing or empty; add it to the Function's args"
    )]
    Missing(&'static str),
    /// A flag whose value makes no sense.
    #[error("failed to read the arguments: --{flag} is {value:?} and must be {must}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What it is.
        value: String,
        /// What it has to be.
        must: &'static str,
    },
}

impl ArgumentsError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoFunction | Self::UnknownFunction(_) => "FunctionUnknown",
            Self::Verb { .. } | Self::NoFlag(_) | Self::Missing(_) | Self::Value { .. } => {
                "ArgumentsInvalid"
            }
        }
    }
}
