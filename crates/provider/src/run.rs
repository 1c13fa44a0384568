//! Puts the controllers together and runs them until told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::RestoreSession;
use kubestash_api::kubedb::{DatabaseStatus, Druid, MySQL};
use kubestash_api::shared::ConditionStatus;
use tokio_util::sync::CancellationToken;

use crate::mysql::Servers;
use crate::status::{self, Change};
use crate::{ProviderConfig, ProviderError, apply, druid, mysql, restore};

/// Shortest and longest pause before a failed reconciliation is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// What the reconcilers share.
pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) servers: Servers,
    recorder: Recorder,
    failures: Mutex<HashMap<String, u32>>,
}

impl Context {
    /// Publishes an Event on an object.
    pub(crate) async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, event: Event) {
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(%error, "failed to publish an Event");
        }
    }

    /// Writes the status that follows from `changes`, if it is another one, and tells when readiness has changed.
    pub(crate) async fn write_status<K: apply::Kind>(
        &self,
        object: &K,
        old: Option<&DatabaseStatus>,
        changes: &[Change],
    ) -> Result<(), ProviderError> {
        let generation = object.meta().generation;
        let new = status::next(old, changes, generation, jiff::Timestamp::now());
        apply::whole_status(&self.client, object, old, &new).await?;
        let readiness = |status: &DatabaseStatus| {
            let ready = status
                .conditions
                .iter()
                .find(|one| one.type_ == status::READY);
            ready.map(|ready| (ready.status, ready.reason.clone(), ready.message.clone()))
        };
        if let Some((holds, reason, note)) = readiness(&new)
            && old.and_then(readiness).as_ref() != Some(&(holds, reason.clone(), note.clone()))
        {
            let is_ready = holds == ConditionStatus::True;
            let event = Event {
                type_: if is_ready {
                    EventType::Normal
                } else {
                    EventType::Warning
                },
                reason: if is_ready {
                    status::READY.to_owned()
                } else {
                    reason
                },
                note: Some(note),
                action: "Provision".to_owned(),
                secondary: None,
            };
            self.tell(object, event).await;
        }
        Ok(())
    }

    /// How often in a row the object has failed, this time included.
    fn failed(&self, object: String) -> u32 {
        let mut failures = self
            .failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = failures.entry(object).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn succeeded(&self, object: &str) {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(object);
    }
}

/// Runs the provider until `stop` fires; then shuts all servers down cleanly and returns within a little more than
/// [`ProviderConfig::shutdown_grace`]. The API server must outlive this call.
///
/// # Errors
/// If the data directory cannot be used. Trouble with single databases becomes their conditions and Events.
pub async fn run(config: ProviderConfig, stop: CancellationToken) -> Result<(), ProviderError> {
    let databases = config.data_dir.join("databases");
    std::fs::create_dir_all(&databases).map_err(ProviderError::disk(&databases))?;
    let client = config.client.clone();
    let (changed, changes) = futures::channel::mpsc::unbounded();
    let reporter = Reporter {
        controller: apply::MANAGER.to_owned(),
        instance: None,
    };
    let context = Arc::new(Context {
        client: client.clone(),
        servers: Servers::new(config, changed),
        recorder: Recorder::new(client.clone(), reporter),
        failures: Mutex::default(),
    });

    let mysql = Controller::new(
        Api::<MySQL>::all(client.clone()),
        watcher::Config::default(),
    )
    .owns(
        Api::<AppBinding>::all(client.clone()),
        watcher::Config::default(),
    )
    .watches(
        Api::<RestoreSession>::all(client.clone()),
        watcher::Config::default(),
        |session| restore::target::<MySQL>(&session),
    )
    .watches(
        Api::<Secret>::all(client.clone()),
        watcher::Config::default().labels(&mysql::secrets()),
        |secret| mysql::of_secret(&secret),
    )
    .reconcile_on(changes)
    .graceful_shutdown_on(stop.clone().cancelled_owned())
    .run(guarded(mysql::reconcile), retry, context.clone())
    .for_each(|result| async move { log("MySQL", result.err()) });
    let druids = Controller::new(
        Api::<Druid>::all(client.clone()),
        watcher::Config::default(),
    );
    let known = druids.store();
    let known_too = known.clone();
    let druids = druids
        .watches(
            Api::<MySQL>::all(client.clone()),
            watcher::Config::default(),
            move |store| druid::of_metadata_store(&known, &store),
        )
        .owns(
            Api::<AppBinding>::all(client.clone()),
            watcher::Config::default(),
        )
        .watches(
            Api::<AppBinding>::all(client.clone()),
            watcher::Config::default(),
            move |binding| druid::of_binding(&known_too, &binding),
        )
        .watches(
            Api::<RestoreSession>::all(client),
            watcher::Config::default(),
            |session| restore::target::<Druid>(&session),
        )
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(guarded(druid::reconcile), retry, context.clone())
        .for_each(|result| async move { log("Druid", result.err()) });

    let prepare = async {
        tokio::select! {
            () = context.servers.prepare() => {}
            () = stop.cancelled() => {}
        }
    };
    tokio::join!(mysql, druids, prepare);
    context.servers.stop_all().await;
    Ok(())
}

/// A reconciler that forgets earlier failures when it succeeds.
fn guarded<K, F>(
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Clone + Send + 'static,
) -> impl Fn(Arc<K>, Arc<Context>) -> futures::future::BoxFuture<'static, Result<Action, ProviderError>>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
    F: Future<Output = Result<Action, ProviderError>> + Send + 'static,
{
    move |object, context| {
        let key = key(object.as_ref());
        let run = reconcile(object, context.clone());
        async move {
            let result = run.await;
            if result.is_ok() {
                context.succeeded(&key);
            }
            result
        }
        .boxed()
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!(
        "{}/{}/{}",
        K::kind(&()),
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// Tells the failure on the object, and tries again, later each time.
fn retry<K: Resource<DynamicType = ()> + Send + Sync + 'static>(
    object: Arc<K>,
    error: &ProviderError,
    context: Arc<Context>,
) -> Action {
    let count = context.failed(key(object.as_ref()));
    // A race with another writer mends itself at once; what lasts is told.
    if count == 3 {
        let event = Event {
            type_: EventType::Warning,
            reason: error.kind().to_owned(),
            note: Some(error.told()),
            action: "Provision".to_owned(),
            secondary: None,
        };
        tokio::spawn(async move { context.tell(object.as_ref(), event).await });
    }
    Action::requeue(RETRY.0.saturating_mul(1 << count.min(10)).min(RETRY.1))
}

fn log<Q>(kind: &str, error: Option<kube::runtime::controller::Error<ProviderError, Q>>)
where
    Q: std::error::Error + 'static,
{
    use kube::runtime::controller::Error;
    match error {
        None | Some(Error::ObjectNotFound(_)) => {}
        Some(Error::ReconcilerFailed(error, object)) => {
            tracing::warn!(%object, "{kind}: {}", error.told());
        }
        Some(error) => tracing::debug!(%error, "{kind}: watch"),
    }
}
