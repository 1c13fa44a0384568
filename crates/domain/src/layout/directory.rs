//! Which directories of a storage a repository may have: one of its own, that neither contains
//! another repository's nor lies in it.
//!
//! Repositories that were made before this rule go on as they are; see `docs/compatibility.md`,
//! "Directories".

use super::repository_dir;

/// How two directories of one storage lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Neither contains the other.
    Apart,
    /// They are the same.
    Same,
    /// The first contains the second.
    Contains,
    /// The first lies in the second.
    Inside,
}

/// How `left` lies to `right`, whatever their slashes. The root of a storage contains everything
/// else.
#[must_use]
pub fn relation(left: &str, right: &str) -> Relation {
    let (left, right) = (repository_dir(left), repository_dir(right));
    if left == right {
        Relation::Same
    } else if contains(&left, &right) {
        Relation::Contains
    } else if contains(&right, &left) {
        Relation::Inside
    } else {
        Relation::Apart
    }
}

/// Whether `inner` is `outer` or lies in it.
#[must_use]
pub fn is_within(inner: &str, outer: &str) -> bool {
    matches!(relation(inner, outer), Relation::Same | Relation::Inside)
}

fn contains(outer: &str, inner: &str) -> bool {
    outer.is_empty()
        || inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
}

impl Relation {
    /// Whether one of the two contains the other, and they are not the same.
    #[must_use]
    pub fn is_nested(self) -> bool {
        matches!(self, Self::Contains | Self::Inside)
    }
}

/// Why a directory cannot be a repository's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// It is the root of the storage, and so contains every other repository's.
    #[error(
        "it is the root of the storage, which would contain every other repository: use a directory of its own, such as /demo/sample"
    )]
    Root,
    /// It has a part that leads elsewhere.
    #[error("it has a part {0:?}: write it without")]
    Relative(String),
    /// It has a part that no file system and no bucket takes as it is.
    #[error("it has a control character: write it without")]
    Control,
}

/// Whether a new repository may have `directory`, as far as that can be told from its name.
///
/// # Errors
/// If not, with the reason and the remedy.
pub fn check(directory: &str) -> Result<(), DirectoryError> {
    if directory.chars().any(char::is_control) {
        return Err(DirectoryError::Control);
    }
    if let Some(part) = directory
        .split('/')
        .find(|part| matches!(*part, "." | ".."))
    {
        return Err(DirectoryError::Relative(part.to_owned()));
    }
    if repository_dir(directory).is_empty() {
        return Err(DirectoryError::Root);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directories_lie_apart_or_in_each_other_whatever_their_slashes() {
        use Relation::{Apart, Contains, Inside, Same};
        for (left, right, expected) in [
            ("demo", "demo/sample-druid-2", Contains),
            ("/demo/sample-druid-2/", "demo", Inside),
            ("/default-blueprint", "demo/sample-druid-2", Apart),
            ("demo", "demo2", Apart),
            ("demo/a", "demo/ab", Apart),
            ("demo//a", "/demo/a/", Same),
            ("/", "demo", Contains),
            ("demo", "", Inside),
            ("/", "", Same),
            ("/cfg", "/cfg/repository/v1", Contains),
        ] {
            assert_eq!(relation(left, right), expected, "{left} {right}");
            assert_eq!(
                is_within(right, left),
                matches!(expected, Contains | Same),
                "{left} {right}"
            );
        }
    }

    #[test]
    fn a_new_repository_gets_a_directory_of_its_own() {
        for good in [
            "/default-blueprint",
            "demo/sample-druid-2",
            "a",
            "..a/b..c",
            "pvc/x/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for root in ["", "/", "//"] {
            assert_eq!(check(root), Err(DirectoryError::Root), "{root}");
        }
        for (relative, part) in [(".", "."), ("..", ".."), ("a/../b", ".."), ("/./a", ".")] {
            let expected = DirectoryError::Relative(part.to_owned());
            assert_eq!(check(relative), Err(expected), "{relative}");
        }
        assert_eq!(check("a\nb"), Err(DirectoryError::Control));
    }

    fn any_directory() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]{1,2}", 0..4).prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #[test]
        fn the_relation_of_two_directories_is_the_same_seen_from_either(left in any_directory(), right in any_directory()) {
            let mirrored = match relation(&right, &left) {
                Relation::Contains => Relation::Inside,
                Relation::Inside => Relation::Contains,
                same => same,
            };
            prop_assert_eq!(relation(&left, &right), mirrored);
            // What lies in a directory has its path with something behind it, and nothing else does.
            let below = left.is_empty() && !right.is_empty() || right.starts_with(&format!("{left}/"));
            prop_assert_eq!(relation(&left, &right) == Relation::Contains, below);
        }
    }
}
