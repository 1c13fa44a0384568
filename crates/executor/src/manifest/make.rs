//! Making the objects, and saying what came of it.

use jiff::Timestamp;
use kubestash_api::conditions::restore_session::MANIFEST_RESTORED;
use kubestash_api::shared::Condition;
use kubestash_core::condition;

use super::preflight::Wanted;
use crate::cluster::{Cluster, Created};
use crate::failure::Failure;

/// Makes what is missing; returns what the session says about it.
///
/// # Errors
/// If an object cannot be made; the message says which ones were.
pub(super) async fn make(cluster: &Cluster, wanted: &[Wanted]) -> Result<Condition, Failure> {
    let (mut made, mut kept) = (Vec::new(), Vec::new());
    for wanted in wanted {
        let name = wanted.target.to_string();
        if wanted.exists {
            kept.push(name);
            continue;
        }
        match cluster
            .create_object(&wanted.resource, &wanted.object, false)
            .await
        {
            Ok(Created::Made) => made.push(name),
            Ok(Created::Exists) => kept.push(name),
            Err(error) => {
                let failure = Failure::from(error);
                let message = format!(
                    "{}; made before that: {}; restore again",
                    failure.message,
                    listed(&made)
                );
                return Err(match failure.permanent {
                    true => Failure::permanent(&failure.kind, message),
                    false => Failure::transient(&failure.kind, message),
                });
            }
        }
    }
    let message = message(&made, &kept);
    tracing::info!("{message}");
    let now = Timestamp::now();
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Ok(condition::new(MANIFEST_RESTORED, true, message, second))
}

fn message(made: &[String], kept: &[String]) -> String {
    let mut message = format!("Made: {}.", listed(made));
    if !kept.is_empty() {
        message.push_str(&format!(" Kept as they were: {}.", listed(kept)));
    }
    message
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
    fn the_message_says_what_was_made_and_what_was_kept() {
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
        let cases = [
            (
                names(&["Secret dev/a", "Druid dev/d"]),
                vec![],
                "Made: Secret dev/a, Druid dev/d.",
            ),
            (
                vec![],
                names(&["Secret dev/a"]),
                "Made: nothing. Kept as they were: Secret dev/a.",
            ),
        ];
        for (made, kept, expected) in cases {
            assert_eq!(message(&made, &kept), expected);
        }
    }
}
