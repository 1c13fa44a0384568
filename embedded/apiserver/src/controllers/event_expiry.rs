//! Events go an hour after their last change.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::{Changes, sleep_until};
use crate::app::App;
use crate::store::{Change, ChangeKind, GroupResource, Key, Object, Write};

/// How long an Event is kept, as in Kubernetes.
const KEPT: Duration = Duration::from_secs(3600);

/// When a version of an Event is to go.
type Deadline = Reverse<(Instant, u64, Key)>;

/// Runs until the server stops.
pub(super) async fn run(app: Arc<App>, mut changes: Changes) {
    let mut deadlines: BinaryHeap<Deadline> = app
        .store
        .list(&GroupResource::new("", "events"), None)
        .objects
        .iter()
        .map(|event| deadline(event, age(&event.value(), Timestamp::now())))
        .collect();
    loop {
        let next = deadlines.peek().map(|Reverse((at, ..))| *at);
        tokio::select! {
            batch = changes.recv() => match batch {
                Some(batch) => deadlines.extend(batch.iter().filter(|change| is_event(change)).map(|change| {
                    deadline(&change.object, Duration::ZERO)
                })),
                None => return,
            },
            () = sleep_until(next) => expire(&app, &mut deadlines).await,
            () = app.stop.cancelled() => return,
        }
    }
}

fn is_event(change: &Change) -> bool {
    change.kind != ChangeKind::Deleted && change.object.key.resource.is("", "events")
}

fn deadline(event: &Object, age: Duration) -> Deadline {
    let at = Instant::now() + KEPT.saturating_sub(age);
    Reverse((at, event.revision, event.key.clone()))
}

/// The time since an Event was last changed, as far as it says itself.
fn age(event: &Value, now: Timestamp) -> Duration {
    let newest = [
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["series"]["lastObservedTime"],
        &event["metadata"]["creationTimestamp"],
    ]
    .into_iter()
    .filter_map(|time| time.as_str()?.parse::<Timestamp>().ok())
    .max()
    .unwrap_or(now);
    Duration::try_from(now.duration_since(newest)).unwrap_or_default()
}

async fn expire(app: &App, deadlines: &mut BinaryHeap<Deadline>) {
    let now = Instant::now();
    let mut due = Vec::new();
    while let Some(Reverse((at, revision, key))) = deadlines.peek() {
        if *at > now {
            break;
        }
        due.push(Write::Delete {
            key: key.clone(),
            expected: *revision,
            last: None,
        });
        deadlines.pop();
    }
    // One that has changed since is not at the expected version and stays; its newer deadline is in
    // the heap.
    futures::future::join_all(due.into_iter().map(|write| app.store.commit(write))).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_as_old_as_its_newest_time() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let event = json!({
            "lastTimestamp": "2026-01-01T00:30:00Z", "eventTime": null,
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        });
        assert_eq!(age(&event, now), Duration::from_secs(1800));
        assert_eq!(age(&json!({}), now), Duration::ZERO);
    }
}
