//! Making the objects, and saying what came of it.

use jiff::Timestamp;
use kubestash_api::conditions::restore_session::MANIFEST_RESTORED;
use kubestash_api::shared::Condition;
use kubestash_domain::condition;

use super::preflight::{Act, Wanted};
use crate::cluster::{Cluster, Created};
use crate::failure::Failure;

/// What came of the objects.
#[derive(Default)]
struct Done {
    made: Vec<String>,
    replaced: Vec<String>,
    kept: Vec<String>,
}

/// Makes what is missing and replaces what shall be replaced; returns what the session says about
/// it.
///
/// # Errors
/// If an object cannot be made; the message says which ones were.
pub(super) async fn make(cluster: &Cluster, wanted: &[Wanted]) -> Result<Condition, Failure> {
    let mut done = Done::default();
    for wanted in wanted {
        let resource = &wanted.resource;
        let result =
            match &wanted.act {
                Act::Keep => Ok(&mut done.kept),
                Act::Make(object) => cluster.create_object(resource, object, false).await.map(
                    |created| match created {
                        Created::Made => &mut done.made,
                        Created::Exists => &mut done.kept,
                    },
                ),
                Act::Replace(object) => cluster
                    .replace_object(resource, object, false)
                    .await
                    .map(|()| &mut done.replaced),
            };
        match result {
            Ok(list) => list.push(wanted.target.to_string()),
            Err(error) => {
                let failure = Failure::from(error);
                let replaced = match done.replaced.as_slice() {
                    [] => String::new(),
                    replaced => format!("; replaced: {}", listed(replaced)),
                };
                let next = match failure.permanent {
                    true => "put that right first, then restore again",
                    false => "restore again",
                };
                let message = format!(
                    "{}; created before that: {}{replaced}; {next}",
                    failure.message,
                    listed(&done.made)
                );
                return Err(match failure.permanent {
                    true => Failure::permanent(&failure.kind, message),
                    false => Failure::transient(&failure.kind, message),
                });
            }
        }
    }
    let message = done.message();
    tracing::info!("{message}");
    let now = Timestamp::now();
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Ok(condition::new(MANIFEST_RESTORED, true, message, second))
}

impl Done {
    fn message(&self) -> String {
        let mut message = format!("Created: {}.", listed(&self.made));
        for (what, names) in [
            ("Replaced", &self.replaced),
            ("Kept as they were", &self.kept),
        ] {
            if !names.is_empty() {
                message.push_str(&format!(" {what}: {}.", listed(names)));
            }
        }
        message
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_was_made_what_was_replaced_and_what_was_kept() {
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
        for (made, replaced, kept, expected) in [
            (
                names(&["Secret dev/a", "Druid dev/d"]),
                vec![],
                vec![],
                "Created: Secret dev/a, Druid dev/d.",
            ),
            (
                vec![],
                names(&["Druid dev/d"]),
                names(&["Secret dev/a"]),
                "Created: nothing. Replaced: Druid dev/d. Kept as they were: Secret dev/a.",
            ),
        ] {
            let done = Done {
                made,
                replaced,
                kept,
            };
            assert_eq!(done.message(), expected);
        }
    }
}
