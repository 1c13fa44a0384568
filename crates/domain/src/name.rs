//! Names of the objects kubestash makes.
//!
//! The names are the same as KubeStash's, so that scripts and buckets made with either keep working
//! (`docs/compatibility.md`, "Names"). A name that would be longer than 63 bytes keeps its first 32
//! and its last 31 bytes, so the time at its end survives. There is no hash: two long names can
//! become one, which whoever creates the object has to check and refuse.

/// The longest name that is also a valid label value and DNS label, in bytes.
pub const MAX_NAME: usize = 63;

/// Joins the non-empty `parts` with `-`, cuts the middle out of a name of more than 63 bytes, and
/// strips `-` at both ends.
pub fn join(parts: &[&str]) -> String {
    let joined = parts
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("-");
    let joined = joined.trim_matches('-');
    if joined.len() <= MAX_NAME {
        return joined.to_owned();
    }
    let head = MAX_NAME.div_ceil(2);
    let tail = joined.len() - MAX_NAME / 2;
    // Names of Kubernetes objects are ASCII; for anything else the cut moves inwards to a
    // character.
    let head = (0..=head).rev().find(|at| joined.is_char_boundary(*at));
    let tail = (tail..joined.len()).find(|at| joined.is_char_boundary(*at));
    let head = &joined[..head.unwrap_or(0)];
    let tail = &joined[tail.unwrap_or(joined.len())..];
    format!("{head}{tail}").trim_matches('-').to_owned()
}

/// Joins `prefix` and `name` with `-` and keeps the first `max` bytes, for names whose beginning
/// matters (`init-<storage>`, `cleanup-<storage>`).
pub fn prefixed(prefix: &str, name: &str, max: usize) -> String {
    let joined = format!("{prefix}-{name}");
    let end = (0..=max.min(joined.len()))
        .rev()
        .find(|at| joined.is_char_boundary(*at))
        .unwrap_or(0);
    joined[..end].trim_matches('-').to_owned()
}

/// Name of the BackupSession that `session` of `invoker` starts at `unix_seconds`: the scheduled
/// second for a scheduled one, the current second for an instant, retried or manual one.
pub fn backup_session(invoker: &str, session: &str, unix_seconds: i64) -> String {
    join(&[invoker, session, &unix_seconds.to_string()])
}

/// Name of the Snapshot that the BackupSession `backup_session` makes in `repository`: the
/// repository's name goes in front, and the time at the end stays at the end.
pub fn snapshot(repository: &str, backup_session: &str) -> String {
    match split_trailing_number(backup_session) {
        Some((stem, number)) => join(&[repository, stem, number]),
        None => join(&[repository, backup_session]),
    }
}

/// Name of the BackupVerificationSession of `repository` and `session` at `unix_seconds`.
pub fn backup_verification_session(repository: &str, session: &str, unix_seconds: i64) -> String {
    join(&[repository, session, &unix_seconds.to_string()])
}

/// Name of the BackupConfiguration made for an annotated object: `<kind>-<name>` beside its target,
/// `<target namespace>-<kind>-<name>` anywhere else, so that two databases of one name do not meet.
pub fn generated_configuration(
    kind: &str,
    name: &str,
    target_namespace: &str,
    namespace: &str,
) -> String {
    let kind = kind.to_lowercase();
    if target_namespace == namespace {
        format!("{kind}-{name}")
    } else {
        format!("{target_namespace}-{kind}-{name}")
    }
}

/// Splits `stem-123` into `stem` and `123`; none if the name does not end in a number.
fn split_trailing_number(name: &str) -> Option<(&str, &str)> {
    let (stem, number) = name.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((stem, number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn snapshot_names_are_those_of_the_published_examples() {
        let cases = [
            (
                "default-blueprint",
                "appbinding-sample-druid-frequent-backup-1726741846",
                "default-blueprint-appbinding-samruid-frequent-backup-1726741846",
            ),
            (
                "customize-blueprint",
                "appbinding-sample-druid-2-frequent-backup-1726743656",
                "customize-blueprint-appbinding-sid-2-frequent-backup-1726743656",
            ),
            (
                "gcs-mariadb-repo",
                "sample-mariadb-backup-frequent-backup-1726569774",
                "gcs-mariadb-repo-sample-mariadb-ckup-frequent-backup-1726569774",
            ),
            (
                "gcs-repository",
                "deployment-volume-snapshot-frequent-backup-1705483201",
                "gcs-repository-deployment-volumeshot-frequent-backup-1705483201",
            ),
            (
                "gcs-demo-repo",
                "sample-backup-sts-demo-session-1702543201",
                "gcs-demo-repo-sample-backup-sts-demo-session-1702543201",
            ),
            ("repo", "by-hand", "repo-by-hand"),
            ("repo", "7", "repo-7"),
        ];
        for (repository, session, expected) in cases {
            assert_eq!(snapshot(repository, session), expected);
        }
    }

    #[test]
    fn session_names_end_in_the_second_they_were_due() {
        assert_eq!(
            backup_session("appbinding-sample-druid", "frequent-backup", 1_726_741_846),
            "appbinding-sample-druid-frequent-backup-1726741846"
        );
        let long = backup_session(&"c".repeat(60), "frequent-backup", 1_726_741_846);
        assert_eq!(long.len(), MAX_NAME);
        assert!(long.ends_with("frequent-backup-1726741846"));
    }

    #[test]
    fn a_name_of_exactly_63_bytes_is_kept_and_one_of_64_is_cut_to_32_and_31() {
        let exact = format!("{}-b", "a".repeat(61));
        assert_eq!(join(&[&"a".repeat(61), "b"]), exact);
        let cut = join(&[&"a".repeat(40), &"b".repeat(40)]);
        assert_eq!(cut, format!("{}{}", "a".repeat(32), "b".repeat(31)));
    }

    #[test]
    fn generated_configurations_carry_the_namespace_only_away_from_their_target() {
        assert_eq!(
            generated_configuration("AppBinding", "sample-druid", "demo", "demo"),
            "appbinding-sample-druid"
        );
        assert_eq!(
            generated_configuration("AppBinding", "sample-druid", "dev", "demo"),
            "dev-appbinding-sample-druid"
        );
    }

    #[test]
    fn prefixed_names_keep_their_beginning() {
        assert_eq!(
            prefixed("cleanup", "gcs-storage", 63),
            "cleanup-gcs-storage"
        );
        assert_eq!(prefixed("trigger", "abc-def", 12), "trigger-abc");
    }

    proptest! {
        #[test]
        fn joined_names_are_never_longer_than_a_label_and_keep_their_tail(
            first in "[a-z][a-z0-9-]{0,80}", second in "[a-z][a-z0-9-]{0,80}", at in 1_000_000_000_i64..9_999_999_999
        ) {
            let name = backup_session(&first, &second, at);
            prop_assert!(name.len() <= MAX_NAME);
            prop_assert!(name.ends_with(&at.to_string()));
            prop_assert!(!name.starts_with('-'));
        }
    }
}
