//! What Kubernetes says in Events about a Job that has not started: read only while it matters.
//!
//! Some reasons are in no status: a kubelet tells a volume that it cannot mount, and the Job
//! controller a pod that a quota refuses, by Events alone. They are listed for the one object in
//! question; no watch on all Events is kept for it.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::outcome;
use crate::context::Context;
use crate::runtime::apply::spoken;

/// One Event about a Job or its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Uid of the object that it is about.
    pub about: String,
    /// Its word, such as `FailedMount`.
    pub reason: String,
    /// Its sentence.
    pub message: String,
    /// Whether it is about something that does not work.
    pub is_warning: bool,
    /// When it was said last.
    pub at: Option<Timestamp>,
}

impl From<Event> for Told {
    fn from(event: Event) -> Self {
        let series = event
            .series
            .and_then(|series| series.last_observed_time)
            .map(|time| time.0);
        let last = event.last_timestamp.or(event.first_timestamp);
        Self {
            about: event.involved_object.uid.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
            is_warning: event.type_.as_deref() == Some("Warning"),
            at: series
                .or(last.map(|time| time.0))
                .or(event.event_time.map(|time| time.0)),
        }
    }
}

/// The Events about what keeps `job` from starting; none while nothing does. That they cannot be
/// listed is logged: the backup goes on without them.
pub(crate) async fn read(
    ctx: &Context,
    job: Option<&Job>,
    pods: &[Pod],
    now: Timestamp,
) -> Vec<Told> {
    let Some(job) = job else { return Vec::new() };
    let Some(uid) = outcome::in_question(job, pods, now) else {
        return Vec::new();
    };
    let api: Api<Event> = ctx.api(&job.namespace().unwrap_or_default());
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    match api.list(&about).await {
        Ok(found) => found.items.into_iter().map(Told::from).collect(),
        Err(error) => {
            tracing::warn!(
                job = job.name_any(),
                namespace = job.namespace(),
                error = spoken(&error),
                "failed to list the Events of a Job that does not start"
            );
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn events_of_the_old_and_of_the_new_shape_say_when_they_were_said_last() {
        let told = |value: Value| -> Told {
            let mut event = json!({"metadata": {}, "involvedObject": {"uid": "u"}, "reason": "FailedMount",
                "message": "m", "type": "Warning"});
            for (key, given) in value.as_object().unwrap() {
                event[key] = given.clone();
            }
            Told::from(serde_json::from_value::<Event>(event).unwrap())
        };
        let (early, late) = ("2024-09-19T10:30:46Z", "2024-09-19T10:31:46Z");
        for (value, expected) in [
            (json!({"firstTimestamp": early}), Some(early)),
            (
                json!({"firstTimestamp": early, "lastTimestamp": late}),
                Some(late),
            ),
            (
                json!({"eventTime": "2024-09-19T10:30:46.000000Z"}),
                Some(early),
            ),
            (
                json!({"eventTime": "2024-09-19T10:30:46.000000Z",
                    "series": {"count": 2, "lastObservedTime": "2024-09-19T10:31:46.000000Z"}}),
                Some(late),
            ),
            (json!({}), None),
        ] {
            let expected = expected.map(|time| time.parse::<Timestamp>().unwrap());
            assert_eq!(told(value.clone()).at, expected, "{value}");
        }
        let normal = told(json!({"type": "Normal"}));
        assert!(!normal.is_warning && normal.about == "u");
    }
}
