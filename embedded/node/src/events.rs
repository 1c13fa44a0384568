//! Events about objects, written beside the work: nothing waits for them.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

/// Longer messages are cut, as the API demands.
const MAX_MESSAGE: usize = 1024;

/// How serious it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Where Events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::UnboundedSender<Event>,
    component: Arc<str>,
    host: Arc<str>,
}

impl Events {
    /// A queue, and the task that empties it; the task ends when the last clone of the queue is
    /// gone.
    pub(crate) fn start(
        client: Client,
        component: &str,
        host: &str,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        (
            Self {
                queue,
                component: component.into(),
                host: host.into(),
            },
            tokio::spawn(write(client, receiver)),
        )
    }

    /// The same queue, under the name of another component.
    pub(crate) fn component(&self, component: &str) -> Self {
        Self {
            component: component.into(),
            ..self.clone()
        }
    }

    /// Queues an Event about an object.
    pub(crate) fn publish<K>(&self, about: &K, kind: Kind, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish_about(about.object_ref(&()), kind, reason, message.into());
    }

    /// Queues an Event about one container of a pod.
    pub(crate) fn publish_about(
        &self,
        about: ObjectReference,
        kind: Kind,
        reason: &str,
        message: String,
    ) {
        let now = Timestamp::now();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!(
                    "{}.{:x}",
                    about.name.as_deref().unwrap_or("event"),
                    unique(now)
                )),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object: about,
            type_: Some(match kind {
                Kind::Normal => "Normal".to_owned(),
                Kind::Warning => "Warning".to_owned(),
            }),
            reason: Some(reason.to_owned()),
            message: Some(cut(message)),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some(self.component.to_string()),
                host: Some(self.host.to_string()),
            }),
            reporting_component: Some(self.component.to_string()),
            reporting_instance: Some(self.host.to_string()),
            ..Event::default()
        };
        // Fails only when the node has stopped.
        let _ = self.queue.send(event);
    }
}

/// The time in nanoseconds, never twice the same in this process.
fn unique(now: Timestamp) -> i64 {
    use std::sync::atomic::{AtomicI64, Ordering};
    static LAST: AtomicI64 = AtomicI64::new(0);
    let nanos = i64::try_from(now.as_nanosecond()).unwrap_or_default();
    let next = |last: i64| Some(nanos.max(last + 1));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .map_or(nanos, |last| nanos.max(last + 1))
}

fn cut(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE - 3)
            .rev()
            .find(|end| message.is_char_boundary(*end))
            .unwrap_or(0);
        message.truncate(end);
        message.push_str("...");
    }
    message
}

async fn write(client: Client, mut queue: mpsc::UnboundedReceiver<Event>) {
    while let Some(event) = queue.recv().await {
        let namespace = event
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::debug!(%error, reason = event.reason, "failed to write an Event");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_repeat_and_messages_fit() {
        let now = Timestamp::now();
        assert!(unique(now) < unique(now));
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("ü".repeat(1000));
        assert!(long.len() <= MAX_MESSAGE && long.ends_with("ü..."));
    }
}
