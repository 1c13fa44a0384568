//! An installed server program.

use std::path::PathBuf;

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// What it is: `MariaDB`, `MySQL`, `PostgreSQL`.
    pub(crate) product: &'static str,
    /// Numbers only, as AppBindings give it: `10.11.6`.
    pub(crate) version: String,
}

/// Looks a program up as a shell would.
pub(crate) fn look_up(name: &str, search_path: &str) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// The leading numbers of a version: `15.18` of `15.18 (Debian 15.18-0+deb12u1)`.
pub(crate) fn number(version: &str) -> Option<&str> {
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    Some(version[..end].trim_end_matches('.')).filter(|number| !number.is_empty())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn only_the_numbers_of_a_version_count() {
        for (text, expected) in [
            ("10.11.6-MariaDB", Some("10.11.6")),
            ("15.18 (Debian 15.18-0+deb12u1)", Some("15.18")),
            ("18beta1", Some("18")),
            ("8.0.36", Some("8.0.36")),
            ("unknown", None),
        ] {
            assert_eq!(number(text), expected);
        }
    }
}
