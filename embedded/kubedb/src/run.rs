//! Puts the controllers together and runs them until told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::RestoreSession;
use kubestash_api::kubedb::{DatabaseStatus, Druid, MariaDB, MySQL, Postgres};
use kubestash_api::shared::ConditionStatus;
use tokio_util::sync::CancellationToken;

use crate::database::{self, Database};
use crate::mysql::Mysql;
use crate::server::Servers;
use crate::status::{self, Change};
use crate::{KubedbConfig, KubedbError, apply, druid, postgres, restore};

/// Shortest and longest pause before a failed reconciliation is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// What the reconcilers share.
pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) mysql: Servers<Mysql>,
    pub(crate) postgres: Servers<postgres::Postgres>,
    pub(crate) changed: Changed,
    recorder: Recorder,
    failures: Mutex<HashMap<String, u32>>,
}

/// Where to tell that the server of a database has changed, so that its object is looked at.
pub(crate) struct Changed {
    pub(crate) mysql: UnboundedSender<ObjectRef<MySQL>>,
    pub(crate) mariadb: UnboundedSender<ObjectRef<MariaDB>>,
    pub(crate) postgres: UnboundedSender<ObjectRef<Postgres>>,
}

impl Context {
    /// Publishes an Event on an object.
    pub(crate) async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, event: Event) {
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(%error, "failed to publish an Event");
        }
    }

    /// Writes the status that follows from `changes`, if it is another one, and tells when
    /// readiness has changed.
    pub(crate) async fn write_status<K: apply::Kind>(
        &self,
        object: &K,
        old: Option<&DatabaseStatus>,
        changes: &[Change],
    ) -> Result<(), KubedbError> {
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

/// Runs the provider until `stop` fires; then shuts all servers down cleanly and returns within a
/// little more than [`KubedbConfig::shutdown_grace`]. The API server must outlive this call.
///
/// # Errors
/// If the data directory cannot be used. Trouble with single databases becomes their conditions and
/// Events.
pub async fn run(config: KubedbConfig, stop: CancellationToken) -> Result<(), KubedbError> {
    let dir = config.data_dir.join("databases");
    std::fs::create_dir_all(&dir).map_err(KubedbError::disk(&dir))?;
    let client = config.client.clone();
    let reporter = Reporter {
        controller: apply::MANAGER.to_owned(),
        instance: None,
    };
    let (mysql, of_mysql) = unbounded();
    let (mariadb, of_mariadb) = unbounded();
    let (postgres, of_postgres) = unbounded();
    let context = Arc::new(Context {
        client: client.clone(),
        mysql: Servers::new(config.clone()),
        postgres: Servers::new(config),
        changed: Changed {
            mysql,
            mariadb,
            postgres,
        },
        recorder: Recorder::new(client, reporter),
        failures: Mutex::default(),
    });
    let warm_up = async {
        tokio::select! {
            // Nearly everybody has a database of this family; the others are prepared when the first one is made.
            () = context.mysql.warm_up(MySQL::NAME) => {}
            () = stop.cancelled() => {}
        }
    };
    tokio::join!(
        databases::<MySQL>(&context, of_mysql, &stop),
        databases::<MariaDB>(&context, of_mariadb, &stop),
        databases::<Postgres>(&context, of_postgres, &stop),
        druids(&context, &stop),
        warm_up,
    );
    tokio::join!(context.mysql.stop_all(), context.postgres.stop_all());
    Ok(())
}

/// The controller of one kind of database.
fn databases<D: Database>(
    context: &Arc<Context>,
    changes: UnboundedReceiver<ObjectRef<D>>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<D> {
    let client = &context.client;
    let controller = Controller::new(Api::<D>::all(client.clone()), watcher::Config::default());
    let known = controller.store();
    controller
        .owns(
            Api::<AppBinding>::all(client.clone()),
            watcher::Config::default(),
        )
        .watches(
            Api::<RestoreSession>::all(client.clone()),
            watcher::Config::default(),
            |session| restore::target::<D>(&session),
        )
        .watches(
            Api::<Secret>::all(client.clone()),
            watcher::Config::default(),
            move |secret| database::of_secret(&known, &secret),
        )
        .reconcile_on(changes)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(guarded(database::reconcile::<D>), retry, context.clone())
        .for_each(|result| async move { log(&D::kind(&()), result.err()) })
}

/// The controller of Druids.
fn druids(context: &Arc<Context>, stop: &CancellationToken) -> impl Future<Output = ()> + use<> {
    let client = &context.client;
    let controller = Controller::new(
        Api::<Druid>::all(client.clone()),
        watcher::Config::default(),
    );
    let (of_mysql, of_postgres, of_binding) =
        (controller.store(), controller.store(), controller.store());
    controller
        .watches(
            Api::<MySQL>::all(client.clone()),
            watcher::Config::default(),
            move |store| druid::of_metadata_store(&of_mysql, &store),
        )
        .watches(
            Api::<Postgres>::all(client.clone()),
            watcher::Config::default(),
            move |store| druid::of_metadata_store(&of_postgres, &store),
        )
        .owns(
            Api::<AppBinding>::all(client.clone()),
            watcher::Config::default(),
        )
        .watches(
            Api::<AppBinding>::all(client.clone()),
            watcher::Config::default(),
            move |binding| druid::of_binding(&of_binding, &binding),
        )
        .watches(
            Api::<RestoreSession>::all(client.clone()),
            watcher::Config::default(),
            |session| restore::target::<Druid>(&session),
        )
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(guarded(druid::reconcile), retry, context.clone())
        .for_each(|result| async move { log("Druid", result.err()) })
}

/// A reconciler that forgets earlier failures when it succeeds.
fn guarded<K, F>(
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Clone + Send + 'static,
) -> impl Fn(Arc<K>, Arc<Context>) -> futures::future::BoxFuture<'static, Result<Action, KubedbError>>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
    F: Future<Output = Result<Action, KubedbError>> + Send + 'static,
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
    error: &KubedbError,
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

fn log<Q>(kind: &str, error: Option<kube::runtime::controller::Error<KubedbError, Q>>)
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
