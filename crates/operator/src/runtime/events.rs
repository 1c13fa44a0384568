//! Events: what happened, told to the user once.
//!
//! Invariant: the same words about the same object are one Event, however often a reconciler runs
//! and however often the operator restarts. The Event's name is made from what it says, so that a
//! second creation is refused by the API server; what this process has told already is remembered,
//! so that it does not even ask.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;

/// Who reports, as `reportingController` of each Event.
const REPORTER: &str = "kubestash.com/operator";
/// The API's limits for `note` and for an object's name.
const MAX_NOTE: usize = 1024;
const MAX_NAME: usize = 253;
/// API servers keep Events for one hour; what still holds by then is told again.
const TELL_AGAIN: Duration = Duration::from_secs(3600);

/// How serious an Event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    /// Worth knowing.
    Normal,
    /// Something does not work, and the note says what to do.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One thing to say about one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Notice {
    /// How serious it is.
    pub severity: Severity,
    /// A stable word in PascalCase, such as an error's `kind()`.
    pub reason: String,
    /// What happened and what to do, in a sentence.
    pub note: String,
}

impl Notice {
    /// Something that does not work.
    pub(crate) fn warning(reason: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            reason: reason.into(),
            note: note.into(),
        }
    }

    /// Something worth knowing.
    pub(crate) fn normal(reason: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            severity: Severity::Normal,
            reason: reason.into(),
            note: note.into(),
        }
    }
}

/// Publishes Events, each distinct one once.
pub(crate) struct Events {
    client: Client,
    instance: String,
    told: Mutex<HashMap<String, Told>>,
}

#[derive(Clone, Copy)]
struct Told {
    at: Instant,
    count: i32,
    /// Whether it is about something that does not work.
    warning: bool,
    /// Whether the cause went away since; then the same words are news again.
    recovered: bool,
}

impl Events {
    /// Events are reported as coming from `instance`, such as the pod's name.
    #[must_use]
    pub(crate) fn new(client: Client, instance: String) -> Self {
        Self {
            client,
            instance,
            told: Mutex::default(),
        }
    }

    /// Tells `notice` about `object`, unless it has been told.
    pub(crate) async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, notice: &Notice) {
        self.tell_about(&object.object_ref(&()), notice).await;
    }

    /// The same for an object known only by reference. A failure to publish is logged; it never
    /// fails a reconcile, and the next one tries again.
    pub(crate) async fn tell_about(&self, regarding: &ObjectReference, notice: &Notice) {
        let name = event_name(regarding, notice);
        let key = format!(
            "{}/{name}",
            regarding.namespace.as_deref().unwrap_or_default()
        );
        let now = Instant::now();
        let before = self.lock().get(&key).copied();
        if before.is_some_and(|told| !told.recovered && now.duration_since(told.at) < TELL_AGAIN) {
            return;
        }
        match self.publish(regarding, notice, &name, before).await {
            Ok(count) => {
                let mut told = self.lock();
                told.retain(|_, entry| now.duration_since(entry.at) < TELL_AGAIN * 2);
                told.insert(
                    key,
                    Told {
                        at: now,
                        count,
                        warning: notice.severity == Severity::Warning,
                        recovered: false,
                    },
                );
            }
            Err(error) => tracing::warn!(
                object = ?regarding.name, namespace = ?regarding.namespace, reason = notice.reason, %error,
                "failed to publish an Event"
            ),
        }
    }

    /// Marks all that did not work with `object` as past: when it comes back, it is told again.
    pub(crate) fn recovered<K: Resource<DynamicType = ()>>(&self, object: &K) {
        self.recovered_about(&object.object_ref(&()));
    }

    /// The same for an object known only by reference.
    pub(crate) fn recovered_about(&self, reference: &ObjectReference) {
        let prefix = format!(
            "{}/{}",
            reference.namespace.as_deref().unwrap_or_default(),
            name_prefix(reference)
        );
        for (key, told) in self.lock().iter_mut() {
            told.recovered |= told.warning && key.starts_with(&prefix);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(
        &self,
        regarding: &ObjectReference,
        notice: &Notice,
        name: &str,
        before: Option<Told>,
    ) -> Result<i32, kube::Error> {
        let namespace = regarding.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let now = MicroTime(Timestamp::now());
        match api
            .create(
                &PostParams::default(),
                &self.event(regarding, notice, name, namespace, now.clone()),
            )
            .await
        {
            Ok(_) => Ok(1),
            // Told before this process started: nothing to add.
            Err(kube::Error::Api(status)) if status.is_already_exists() && before.is_none() => {
                Ok(1)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let count = before.map_or(2, |told| told.count.saturating_add(1));
                let series = json!({ "series": { "count": count, "lastObservedTime": now } });
                api.patch(name, &PatchParams::default(), &Patch::Merge(&series))
                    .await?;
                Ok(count)
            }
            Err(error) => Err(error),
        }
    }

    fn event(
        &self,
        regarding: &ObjectReference,
        notice: &Notice,
        name: &str,
        namespace: &str,
        now: MicroTime,
    ) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(now),
            type_: Some(notice.severity.as_str().to_owned()),
            reason: Some(notice.reason.clone()),
            note: Some(truncated(&notice.note, MAX_NOTE).to_owned()),
            action: Some("Reconcile".to_owned()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(REPORTER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

fn name_prefix(regarding: &ObjectReference) -> String {
    // The kind keeps apart two objects of one name; the rest of the name is the digest.
    let kind = regarding
        .kind
        .as_deref()
        .unwrap_or("object")
        .to_ascii_lowercase();
    let name = regarding.name.as_deref().unwrap_or_default();
    let room = MAX_NAME - kind.len() - 18;
    format!("{}.{kind}.", truncated(name, room))
}

fn event_name(regarding: &ObjectReference, notice: &Notice) -> String {
    // `DefaultHasher::new` has fixed keys, so that the name is the same after a restart.
    let mut hasher = DefaultHasher::new();
    (regarding.uid.as_deref(), notice).hash(&mut hasher);
    format!("{}{:016x}", name_prefix(regarding), hasher.finish())
}

fn truncated(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn druid(name: &str, uid: &str) -> ObjectReference {
        ObjectReference {
            kind: Some("Druid".to_owned()),
            name: Some(name.to_owned()),
            namespace: Some("demo".to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        }
    }

    #[test]
    fn the_same_words_about_the_same_object_have_one_name() {
        let notice = Notice::warning("BlueprintNotFound", "create it");
        assert_eq!(
            event_name(&druid("a", "1"), &notice),
            event_name(&druid("a", "1"), &notice.clone())
        );
    }

    #[test]
    fn other_words_or_another_object_have_another_name() {
        let notice = Notice::warning("BlueprintNotFound", "create it");
        let other_note = Notice::warning("BlueprintNotFound", "create that");
        let other_severity = Notice::normal("BlueprintNotFound", "create it");
        let name = event_name(&druid("a", "1"), &notice);
        for other in [
            event_name(&druid("a", "1"), &other_note),
            event_name(&druid("a", "1"), &other_severity),
            event_name(&druid("a", "2"), &notice),
            event_name(&druid("b", "1"), &notice),
        ] {
            assert_ne!(name, other);
        }
    }

    #[test]
    fn names_and_notes_stay_within_the_limits_of_the_api() {
        let long = "x".repeat(300);
        assert!(event_name(&druid(&long, "1"), &Notice::normal("R", "n")).len() <= MAX_NAME);
        assert_eq!(truncated("äää", 3), "ä");
    }
}
