//! The loop of every reconciler: what wakes it, and what happens when it fails.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, future, stream};
use kube::ResourceExt;
use kube::runtime::controller::{Action, Config, Controller as Runtime, Error as RuntimeError};
use kube::runtime::reflector::ObjectRef;

use crate::context::Context;
use crate::runtime::events::Notice;
use crate::runtime::watch::{Watch, Watched};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How many objects of a kind are reconciled at once.
const AT_ONCE: u16 = 16;

/// An error of a reconciler.
pub(crate) trait Reason: std::error::Error + Send + Sync + 'static {
    /// A stable word in PascalCase: metric label, condition reason and Event reason.
    fn kind(&self) -> &'static str;

    /// Whether the user needs to know. Conflicts, which the next event mends, are only logged.
    fn is_news(&self) -> bool {
        true
    }
}

impl Reason for crate::runtime::apply::ApplyError {
    fn kind(&self) -> &'static str {
        Self::kind(self)
    }

    fn is_news(&self) -> bool {
        !self.is_conflict() && !self.is_not_found()
    }
}

/// A controller in the making: the kind it reconciles, and what else wakes it.
pub(crate) struct Controller<K: Watched> {
    name: &'static str,
    ctx: Arc<Context>,
    watch: Watch<K>,
    triggers: Vec<stream::BoxStream<'static, ObjectRef<K>>>,
}

impl<K: Watched> Controller<K> {
    /// A controller for all objects of `watch`; `name` is for the log.
    #[must_use]
    pub(crate) fn new(name: &'static str, ctx: Arc<Context>, watch: &Watch<K>) -> Self {
        let own = watch
            .touched()
            .map(|touched| ObjectRef::from_obj(touched.object.as_ref()))
            .boxed();
        Self {
            name,
            ctx,
            watch: watch.clone(),
            triggers: vec![own],
        }
    }

    /// Reconciles what `map` names whenever an object of `other` is created, changed or deleted.
    #[must_use]
    pub(crate) fn on<O, I>(
        mut self,
        other: &Watch<O>,
        map: impl Fn(&O) -> I + Send + 'static,
    ) -> Self
    where
        O: Watched,
        I: IntoIterator<Item = ObjectRef<K>>,
        I::IntoIter: Send + 'static,
    {
        let stream = other
            .touched()
            .flat_map(move |touched| stream::iter(map(&touched.object)));
        self.triggers.push(stream.boxed());
        self
    }

    /// Reconciles whatever `stream` names.
    #[must_use]
    pub(crate) fn on_stream(
        mut self,
        stream: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    ) -> Self {
        self.triggers.push(stream.boxed());
        self
    }

    /// Runs until the operator stops; running reconciles are finished first.
    pub(crate) async fn run<F, Fut, E>(self, reconcile: F)
    where
        F: Fn(Arc<K>, Arc<Context>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Action, E>> + Send + 'static,
        E: Reason,
    {
        let Self {
            name,
            ctx,
            watch,
            triggers,
        } = self;
        let failures = Arc::new(Failures::default());
        let reconcile = Arc::new(reconcile);
        let shutdown = ctx.shutdown.clone().cancelled_owned().map(|()| ());
        let stream = triggers.into_iter().fold(
            Runtime::for_stream(stream::pending(), watch.store())
                .with_config(Config::default().concurrency(AT_ONCE))
                .graceful_shutdown_on(shutdown),
            Runtime::reconcile_on,
        );
        let counted = Arc::clone(&failures);
        stream
            .run(
                move |object: Arc<K>, ctx: Arc<Context>| {
                    let (reconcile, failures) = (Arc::clone(&reconcile), Arc::clone(&failures));
                    async move {
                        let result = reconcile(Arc::clone(&object), Arc::clone(&ctx)).await;
                        match &result {
                            Ok(_) => failures.reset(&object.uid().unwrap_or_default()),
                            Err(error) => report(name, &ctx, object.as_ref(), error).await,
                        }
                        result
                    }
                    .boxed()
                },
                move |object, _error, _ctx| {
                    Action::requeue(counted.next_delay(&object.uid().unwrap_or_default()))
                },
                Arc::clone(&ctx),
            )
            .for_each(|outcome| {
                if let Err(RuntimeError::RunnerError(error)) = &outcome {
                    tracing::error!(controller = name, %error, "the controller's runner failed");
                }
                // Failures of a reconcile are reported where they happen; an object that is gone is
                // no failure.
                future::ready(())
            })
            .await;
        tracing::debug!(controller = name, "controller stopped");
    }
}

async fn report<K: Watched>(controller: &str, ctx: &Context, object: &K, error: &impl Reason) {
    let text = full_text(error);
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    if error.is_news() {
        tracing::warn!(
            controller,
            namespace,
            name,
            kind = error.kind(),
            error = text,
            "failed to reconcile"
        );
        ctx.events
            .tell(object, &Notice::warning(error.kind(), text))
            .await;
    } else {
        tracing::debug!(
            controller,
            namespace,
            name,
            kind = error.kind(),
            error = text,
            "failed to reconcile"
        );
    }
}

/// An error with all its sources, each said once.
#[must_use]
pub(crate) fn full_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(current) = next {
        let client = client(current);
        let said = client.map_or_else(|| current.to_string(), crate::runtime::apply::spoken);
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        // What causes a refusal is the refusal again, in other words.
        next = current.source().filter(|_| client.is_none());
    }
    text
}

/// The error of the API client that this is, if it is one.
fn client<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a kube::Error> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    let client = error.downcast_ref::<kube::Error>().or_else(boxed);
    client.filter(|client| matches!(client, kube::Error::Api(_)))
}

/// Consecutive failures by uid: the delay doubles from 1 s to 5 min, and starts anew after a
/// success.
#[derive(Default)]
struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    fn next_delay(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let delay = backoff(*count);
        *count = count.saturating_add(1);
        delay
    }

    fn reset(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

/// The delay after the first, second, … failure (counted from 0): 1 s, doubling, at most 5 min.
#[must_use]
pub(crate) fn backoff(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes_and_starts_anew_after_a_success() {
        let failures = Failures::default();
        let seconds: Vec<_> = (0..11)
            .map(|_| failures.next_delay("a").as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(failures.next_delay("b").as_secs(), 1);
        failures.reset("a");
        assert_eq!(failures.next_delay("a").as_secs(), 1);
    }

    #[test]
    fn a_source_that_the_error_prints_itself_is_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct Printed(#[source] std::io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Silent(#[source] std::io::Error);
        let io = || std::io::Error::other("disk full");
        assert_eq!(full_text(&Printed(io())), "outer: disk full");
        assert_eq!(full_text(&Silent(io())), "outer: disk full");
    }

    #[test]
    fn a_refusal_of_the_api_server_is_told_without_the_fields_of_a_rust_struct() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to look")]
        struct Boxed(#[source] Box<kube::Error>);
        let refusal = || {
            let status =
                kube::core::Status::failure("repositories \"My Repo\" is invalid", "Invalid");
            kube::Error::Api(Box::new(status.with_code(422)))
        };
        let object = kubestash_api::storage::Repository::new("r", Default::default());
        let applied = crate::runtime::apply::request("apply", &object, refusal());
        for (text, head) in [
            (full_text(&applied), "failed to apply Repository r"),
            (full_text(&Boxed(Box::new(refusal()))), "failed to look"),
        ] {
            assert_eq!(text, format!("{head}: repositories \"My Repo\" is invalid"));
        }
    }
}
