//! Why something cannot be done, as conditions and Events tell it.

use std::error::Error;

use crate::runtime::controller::full_text;

/// A failure that is told in a condition and an Event and tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A stable word in PascalCase.
    pub kind: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Failure {
    /// A failure in words of our own.
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
        }
    }

    /// The failure that an error is. `before` is what was told last: what a server replied may
    /// differ each time (request ids, ports), and must not be news each time.
    pub(crate) fn of(kind: &str, error: &(dyn Error + 'static), before: Option<&str>) -> Self {
        let head = error.to_string();
        let message = match before {
            Some(before) if before.starts_with(&head) => before.to_owned(),
            _ => full_text(error),
        };
        Self {
            kind: word(kind),
            message,
        }
    }
}

/// A stable word as conditions and Events spell it: `bucket-missing` becomes `BucketMissing`.
#[must_use]
pub(crate) fn word(kind: &str) -> String {
    kind.split(['-', '_'])
        .flat_map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().chain(letters).collect::<String>())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to reach the bucket")]
    struct Unreachable(#[source] std::io::Error);

    #[test]
    fn words_are_spelt_as_conditions_spell_them() {
        for (kind, expected) in [
            ("bucket-missing", "BucketMissing"),
            ("StorageSecretMissing", "StorageSecretMissing"),
            ("internal", "Internal"),
            ("", ""),
        ] {
            assert_eq!(word(kind), expected);
        }
    }

    #[test]
    fn the_same_failure_with_another_reply_is_no_news() {
        let error = |reply: &str| Unreachable(std::io::Error::other(reply.to_owned()));
        let first = Failure::of("endpoint-unreachable", &error("request 1 refused"), None);
        assert_eq!(
            first.message,
            "failed to reach the bucket: request 1 refused"
        );
        let second = Failure::of(
            "endpoint-unreachable",
            &error("request 2 refused"),
            Some(&first.message),
        );
        assert_eq!(second, first);
        let other = Failure::of(
            "endpoint-unreachable",
            &error("request 2 refused"),
            Some("something else"),
        );
        assert_eq!(
            other.message,
            "failed to reach the bucket: request 2 refused"
        );
    }
}
