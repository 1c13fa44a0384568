//! Times as Kubernetes writes them.

use jiff::Timestamp;

/// `metav1.Time`: whole seconds, UTC.
pub(crate) fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn fractions_are_cut() {
        assert_eq!(
            super::second("2026-01-02T03:04:05.999Z".parse().unwrap()),
            "2026-01-02T03:04:05Z"
        );
    }
}
