//! Names that become names of objects: Repositories, BackupSessions, Snapshots and Jobs.
//!
//! A name that the API server would refuse later, when nobody looks any more, is refused here, with
//! the field. In a blueprint it is judged as far as it is literal; what variables make of it is
//! judged when they are filled in.

use kubestash_api::core::Session;
use kubestash_domain::name;

use super::Violation;

/// The API server's limit.
const LONGEST: usize = 253;
/// Any second will do: all have as many digits.
const SECOND: i64 = 1_726_741_846;

/// Judges the names in the sessions below `field`. `configuration` is the name of the
/// BackupConfiguration; none if it is not known yet.
pub(super) fn violations(
    field: &str,
    configuration: Option<&str>,
    sessions: &[Session],
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, session) in sessions.iter().enumerate() {
        let field = format!("{field}.sessions[{index}]");
        let before = found.len();
        found.extend(judge(&field, "session", &session.name));
        for (index, info) in session.repositories.iter().enumerate() {
            let field = format!("{field}.repositories[{index}]");
            found.extend(judge(&field, "repository", &info.name));
        }
        if let Some(configuration) = configuration.filter(|_| found.len() == before) {
            found.extend(generated(&field, configuration, session));
        }
    }
    found
}

/// Judges one name; an empty one is told elsewhere, one with variables when they are filled in.
fn judge(field: &str, what: &str, name: &str) -> Option<Violation> {
    if name.is_empty() || name.contains('$') || is_name(name) {
        return None;
    }
    let instead = suggestion(name)
        .map(|instead| format!(", such as {instead:?}"))
        .unwrap_or_default();
    Some(Violation::new(
        format!("{field}.name"),
        format!(
            "{what} name {name:?} can not be used, because objects are named after it: use at most {LONGEST} lowercase \
             letters, digits, '-' and '.', with a letter or digit at both ends{instead}"
        ),
    ))
}

/// Names of generated objects have at most 63 bytes; where the middle is cut out, two parts may
/// meet that do not fit.
fn generated(field: &str, configuration: &str, session: &Session) -> Option<Violation> {
    let run = name::backup_session(configuration, &session.name, SECOND);
    let snapshots = session
        .repositories
        .iter()
        .map(|info| name::snapshot(&info.name, &run));
    let bad = std::iter::once(run.clone())
        .chain(snapshots)
        .find(|name| !name.contains('$') && !is_name(name))?;
    Some(Violation::new(
        format!("{field}.name"),
        format!(
            "its objects would be named {bad:?}, which is no name: shorten the names of the BackupConfiguration, the \
             session or the repository, so that nothing is cut out"
        ),
    ))
}

/// Whether the API server takes it as the name of an object.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let mut bytes = part.bytes();
        let ends = [part.bytes().next(), part.bytes().next_back()];
        ends.into_iter()
            .all(|end| end.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= LONGEST && name.split('.').all(is_part)
}

/// A name like it that can be used.
fn suggestion(name: &str) -> Option<String> {
    let replaced: String = name
        .to_lowercase()
        .chars()
        .map(|letter| match letter {
            'a'..='z' | '0'..='9' | '-' | '.' => letter,
            _ => '-',
        })
        .take(name::MAX_NAME)
        .collect();
    let trimmed = replaced.trim_matches(['-', '.']).to_owned();
    is_name(&trimmed).then_some(trimmed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(name: &str, repository: &str) -> Session {
        serde_json::from_value(json!({"name": name, "repositories": [
            {"name": repository, "backend": "gcs", "directory": "/d"}]}))
        .unwrap()
    }

    fn told(configuration: Option<&str>, name: &str, repository: &str) -> Vec<String> {
        let sessions = [session(name, repository)];
        let found = violations("spec", configuration, &sessions);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_its_field_and_one_that_can_be_used() {
        let repository = "spec.sessions[0].repositories[0].name";
        let session = "spec.sessions[0].name";
        for (name, repo, field, instead) in [
            ("daily", "My Repo", repository, Some("my-repo")),
            ("daily", "repo_1", repository, Some("repo-1")),
            ("daily", "-repo-", repository, Some("repo")),
            ("daily", "a/b", repository, Some("a-b")),
            ("daily", "a..b", repository, None),
            ("daily", "日本", repository, None),
            ("Session_A", "repo", session, Some("session-a")),
            ("full backup", "repo", session, Some("full-backup")),
        ] {
            let told = told(Some("c"), name, repo);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(field), "{told:?}");
            match instead {
                Some(instead) => {
                    assert!(
                        told[0].ends_with(&format!("such as {instead:?}")),
                        "{told:?}"
                    );
                }
                None => assert!(!told[0].contains("such as"), "{told:?}"),
            }
        }
        let long = "r".repeat(254);
        assert!(told(Some("c"), "daily", &long)[0].contains("at most 253"));
    }

    #[test]
    fn good_names_and_names_of_variables_are_not_refused() {
        for (name, repository) in [
            ("frequent-backup", "default-blueprint"),
            ("s", "r.1"),
            ("0", &"r".repeat(253)),
            ("${session}", "${repoName}"),
            ("x-${session:=A}", "${namespace}-repo"),
            // Told elsewhere.
            ("", ""),
        ] {
            assert_eq!(
                told(Some("c"), name, repository),
                Vec::<String>::new(),
                "{name} {repository}"
            );
        }
    }

    #[test]
    fn names_of_generated_objects_that_would_be_none_are_refused() {
        // Of the name of a run the first 32 and the last 31 bytes are kept: a dot and a dash meet.
        let configuration = format!("{}.b", "c".repeat(31));
        let session = format!("x-{}", "y".repeat(19));
        let found = told(Some(&configuration), &session, "repo");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("spec.sessions[0].name") && found[0].contains("shorten"),
            "{found:?}"
        );
        // Nothing is cut out of these.
        assert!(told(Some("c.b"), &session, "repo").is_empty());
        // Not known before the blueprint is used.
        assert!(told(None, &session, "repo").is_empty());
    }
}
