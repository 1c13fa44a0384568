//! Why something failed, in one line that may be shown to anybody.
//!
//! An error of any layer becomes a [`Failure`]: a stable kind, the chain of causes as one sentence,
//! and whether trying again can help. Invariant: the sentence holds no line breaks, no control
//! characters and at most [`LONGEST`] characters, so it fits a status field and a log line.

use std::error::Error;

use kubestash_backend::BackendError;
use kubestash_database::locate::LocateError;
use kubestash_domain::manifest::DocumentError;
use kubestash_domain::period::PeriodError;
use kubestash_engine::EngineError;

use crate::arguments::ArgumentsError;
use crate::cluster::ClusterError;

/// Most characters of a sentence.
pub const LONGEST: usize = 1024;

/// Something failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable name of the kind of failure.
    pub kind: String,
    /// What failed, why, and what to do.
    pub message: String,
    /// Whether the same attempt must fail again until somebody changes something.
    pub permanent: bool,
}

impl Failure {
    /// A failure that no retry mends.
    pub fn permanent(kind: &str, message: impl AsRef<str>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: one_line(message.as_ref()),
            permanent: true,
        }
    }

    /// A failure that a retry may mend.
    pub fn transient(kind: &str, message: impl AsRef<str>) -> Self {
        Self {
            permanent: false,
            ..Self::permanent(kind, message)
        }
    }

    /// The session was told to stop.
    pub fn cancelled() -> Self {
        Self::transient(
            "Cancelled",
            "failed to finish: the Job was stopped; no snapshot was written",
        )
    }

    fn of(kind: &str, permanent: bool, error: &(dyn Error + 'static)) -> Self {
        Self {
            kind: kind.to_owned(),
            message: chain(error),
            permanent,
        }
    }

    /// The exit code of a process that ended in these failures: 0 without any, 64 if no retry can
    /// help any of them, else 1.
    pub fn exit_code(failures: &[Self]) -> u8 {
        match failures {
            [] => 0,
            some if some.iter().all(|failure| failure.permanent) => 64,
            _ => 1,
        }
    }
}

/// An error and its causes as one sentence; a cause that is already in it is not repeated.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(current) = next {
        let refusal = refusal(current);
        let said = refusal.map_or_else(|| current.to_string(), str::to_owned);
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        // What causes a refusal is the refusal again, in other words.
        next = current.source().filter(|_| refusal.is_none());
    }
    one_line(&text)
}

/// The message of a refusal of the API server: the client prints the fields of a Rust struct behind
/// it.
fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed)? {
        kube::Error::Api(status) if !status.message.is_empty() => Some(&status.message),
        _ => None,
    }
}

/// A text without line breaks and control characters, of at most [`LONGEST`] characters.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST - 1) {
        line.truncate(end);
        line.push('…');
    }
    line
}

impl From<ArgumentsError> for Failure {
    fn from(error: ArgumentsError) -> Self {
        Self::of(error.kind(), true, &error)
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::of(error.kind(), error.is_permanent(), &error)
    }
}

impl From<LocateError> for Failure {
    fn from(error: LocateError) -> Self {
        Self::of(error.kind(), true, &error)
    }
}

impl From<kubestash_database::Error> for Failure {
    fn from(error: kubestash_database::Error) -> Self {
        Self::of(error.kind(), error.is_permanent(), &error)
    }
}

impl From<kubestash_database::LoadError> for Failure {
    fn from(error: kubestash_database::LoadError) -> Self {
        Self::of(error.kind(), error.is_permanent(), &error)
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::of(error.kind(), true, &error)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::of(error.kind(), error.is_permanent(), &error)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Cancelled => Self::cancelled(),
            error => Self::of(error.kind(), error.is_permanent(), &error),
        }
    }
}

impl From<PeriodError> for Failure {
    fn from(error: PeriodError) -> Self {
        Self::of(error.kind(), true, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_become_one_short_line() {
        let error = Outer(std::io::Error::other("inner\n\tcause \u{1b}[31m"));
        assert_eq!(chain(&error), "outer: inner cause [31m");
        let repeated = Outer(std::io::Error::other("outer"));
        assert_eq!(chain(&repeated), "outer");
        let status = kube::core::Status::failure("secrets \"x\" is forbidden", "Forbidden");
        let refused = ClusterError::Request {
            verb: "get",
            what: "secrets demo/x".to_owned(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        };
        let told = "failed to get secrets demo/x: secrets \"x\" is forbidden";
        assert_eq!(chain(&refused), told);
        let long = Failure::permanent("X", "ä".repeat(5000));
        assert_eq!(long.message.chars().count(), LONGEST);
    }

    #[test]
    fn the_exit_code_says_whether_a_retry_can_help() {
        let permanent = Failure::permanent("A", "a");
        let transient = Failure::transient("B", "b");
        let cases: [(&[Failure], u8); 4] = [
            (&[], 0),
            (std::slice::from_ref(&permanent), 64),
            (std::slice::from_ref(&transient), 1),
            (&[permanent.clone(), transient.clone()], 1),
        ];
        for (failures, code) in cases {
            assert_eq!(Failure::exit_code(failures), code);
        }
    }
}
