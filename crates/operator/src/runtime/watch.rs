//! One watch and one store for each kind, shared by all controllers.
//!
//! ```text
//!  API server ──watch──► driver task ──► Store (read by everyone)
//!                            └──────────► Touched (object, gone?) to each subscriber, deletions included
//! ```
//!
//! Invariant: an object that cannot be parsed is left out of the store, told once as an Event on
//! itself, and never stops the watch. Only what changed is passed on: a watch that starts anew does
//! not wake the whole world.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::runtime::events::{Events, Notice};

/// How long the operator waits before it says that a kind cannot be listed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an object is read from what the API server sent.
type Parse<T, K> = fn(T) -> Result<K, Box<InvalidObject>>;

/// A kind of object that can be watched.
pub(crate) trait Watched:
    Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
}
impl<K> Watched for K where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
}

/// An object that was created, changed or deleted.
#[derive(Debug)]
pub(crate) struct Touched<K> {
    /// The object as it is, or as it was last seen.
    pub object: Arc<K>,
    /// Whether it is gone.
    pub gone: bool,
}

impl<K> Clone for Touched<K> {
    fn clone(&self) -> Self {
        Self {
            object: Arc::clone(&self.object),
            gone: self.gone,
        }
    }
}

/// References to objects, as [`crate::runtime::controller::Controller::on`] takes them.
#[must_use]
pub(crate) fn references<K: Watched>(objects: Vec<Arc<K>>) -> Vec<ObjectRef<K>> {
    objects
        .iter()
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .collect()
}

/// What every watch needs to run.
#[derive(Clone)]
pub(crate) struct Driver {
    /// The API client.
    pub client: Client,
    /// Where malformed objects are told.
    pub events: Arc<Events>,
    /// Ends the watches.
    pub shutdown: CancellationToken,
    /// Owns the watches' tasks.
    pub tasks: TaskTracker,
}

/// The store of one kind, kept up to date by a task, and its subscribers. Cheap to clone.
pub(crate) struct Watch<K: Watched> {
    store: Store<K>,
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<Touched<K>>>>>,
}

impl<K: Watched> Clone for Watch<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            subscribers: Arc::clone(&self.subscribers),
        }
    }
}

impl<K: Watched> Watch<K> {
    /// Watches all objects of the kind that match `config`.
    #[must_use]
    pub(crate) fn start(driver: &Driver, config: watcher::Config) -> Self {
        let api: Api<DeserializeGuard<K>> = Api::all(driver.client.clone());
        let stream = watcher::watcher(api, config).default_backoff();
        Self::drive(driver, stream, |guard| guard.0.map_err(Box::new))
    }

    fn drive<T: Resource<DynamicType = ()> + Send + 'static>(
        driver: &Driver,
        events: impl Stream<Item = watcher::Result<Event<T>>> + Send + 'static,
        parse: Parse<T, K>,
    ) -> Self {
        let (store, writer) = reflector::store();
        let watch = Self {
            store,
            subscribers: Arc::default(),
        };
        let pump = Pump {
            watch: watch.clone(),
            writer,
            events: Arc::clone(&driver.events),
            listed: Vec::new(),
        };
        driver.tasks.spawn(
            driver
                .shutdown
                .clone()
                .run_until_cancelled_owned(Box::pin(pump.run(events, parse))),
        );
        watch
    }

    /// The object of that name; `namespace` is ignored for cluster-scoped kinds.
    #[must_use]
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let reference = ObjectRef::new(name);
        self.store
            .get(&reference.within(namespace))
            .or_else(|| self.store.get(&ObjectRef::new(name)))
    }

    /// All objects.
    #[must_use]
    pub(crate) fn list(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// All objects for which `keep` is true.
    pub(crate) fn select(&self, keep: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.store.state_filter(keep)
    }

    /// The store itself.
    #[must_use]
    pub(crate) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Waits until the first listing is complete, and says so in the log when that takes long.
    pub(crate) async fn ready(&self) {
        loop {
            match tokio::time::timeout(PATIENCE, self.store.wait_until_ready()).await {
                Ok(_) => return,
                Err(_) => tracing::warn!(
                    kind = %K::kind(&()), group = %K::group(&()),
                    "still waiting for the first listing; is the CRD installed and may the operator list it?"
                ),
            }
        }
    }

    /// All objects in the store, then every touched one from now on.
    pub(crate) fn touched(&self) -> impl Stream<Item = Touched<K>> + Send + use<K> {
        let (sender, receiver) = mpsc::unbounded_channel();
        {
            let mut subscribers = self
                .subscribers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for object in self.store.state() {
                // The receiver is still in hand.
                let _ = sender.send(Touched {
                    object,
                    gone: false,
                });
            }
            subscribers.push(sender);
        }
        stream::unfold(receiver, |mut receiver| async move {
            let touched = receiver.recv().await?;
            Some((touched, receiver))
        })
    }

    fn publish(&self, touched: &Touched<K>) {
        let mut subscribers = self
            .subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|subscriber| subscriber.send(touched.clone()).is_ok());
    }
}

impl<T: Watched> Watch<PartialObjectMeta<T>> {
    /// Watches the metadata alone: for kinds whose content must not be kept in memory (Secrets).
    #[must_use]
    pub(crate) fn metadata(driver: &Driver, config: watcher::Config) -> Self {
        let api: Api<PartialObjectMeta<T>> = Api::all(driver.client.clone());
        Self::drive(driver, watcher::watcher(api, config).default_backoff(), Ok)
    }
}

/// Moves events from the API server into the store and on to the subscribers.
struct Pump<K: Watched> {
    watch: Watch<K>,
    writer: Writer<K>,
    events: Arc<Events>,
    /// The objects of a listing that has not ended.
    listed: Vec<ObjectRef<K>>,
}

impl<K: Watched> Pump<K> {
    async fn run<T: Resource<DynamicType = ()> + Send>(
        mut self,
        events: impl Stream<Item = watcher::Result<Event<T>>> + Send,
        parse: Parse<T, K>,
    ) {
        let mut events = Box::pin(events);
        while let Some(event) = events.next().await {
            match event {
                // In a box: large kinds would fill the stack of the thread that polls all watches.
                Ok(event) => Box::pin(self.take(event, parse)).await,
                // The watcher starts again by itself, with backoff.
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "failed to watch, trying again")
                }
            }
        }
    }

    async fn take<T: Resource<DynamicType = ()>>(&mut self, event: Event<T>, parse: Parse<T, K>) {
        let store = self.watch.store.clone();
        match event {
            Event::Init => {
                self.listed.clear();
                self.writer.apply_watcher_event(&Event::Init);
            }
            Event::InitApply(raw) => {
                if let Some(object) = self.parsed(raw, parse).await {
                    self.listed.push(ObjectRef::from_obj(&object));
                    self.writer.apply_watcher_event(&Event::InitApply(object));
                }
            }
            Event::InitDone => {
                let before = store.state();
                let known: std::collections::HashMap<_, _> = before
                    .iter()
                    .map(|object| (ObjectRef::from_obj(object.as_ref()), object))
                    .collect();
                self.writer.apply_watcher_event(&Event::InitDone);
                for reference in std::mem::take(&mut self.listed) {
                    let Some(object) = store.get(&reference) else {
                        continue;
                    };
                    if known
                        .get(&reference)
                        .is_none_or(|old| old.resource_version() != object.resource_version())
                    {
                        self.watch.publish(&Touched {
                            object,
                            gone: false,
                        });
                    }
                }
                for (reference, object) in known {
                    if store.get(&reference).is_none() {
                        self.watch.publish(&Touched {
                            object: Arc::clone(object),
                            gone: true,
                        });
                    }
                }
            }
            Event::Apply(raw) => {
                let reference = ObjectRef::<K>::new(&raw.name_any());
                let reference = match raw.namespace() {
                    Some(namespace) => reference.within(&namespace),
                    None => reference,
                };
                match self.parsed(raw, parse).await {
                    Some(object) => {
                        self.writer.apply_watcher_event(&Event::Apply(object));
                        if let Some(object) = store.get(&reference) {
                            self.watch.publish(&Touched {
                                object,
                                gone: false,
                            });
                        }
                    }
                    // The last good version must not be acted upon any more.
                    None => self.forget(&reference),
                }
            }
            Event::Delete(raw) => {
                let reference = ObjectRef::<K>::new(&raw.name_any());
                let reference = match raw.namespace() {
                    Some(namespace) => reference.within(&namespace),
                    None => reference,
                };
                match parse(raw) {
                    Ok(object) => {
                        self.writer
                            .apply_watcher_event(&Event::Delete(object.clone()));
                        self.watch.publish(&Touched {
                            object: Arc::new(object),
                            gone: true,
                        });
                    }
                    Err(_) => self.forget(&reference),
                }
            }
        }
    }

    fn forget(&mut self, reference: &ObjectRef<K>) {
        if let Some(object) = self.watch.store.get(reference) {
            self.writer
                .apply_watcher_event(&Event::Delete(object.as_ref().clone()));
            self.watch.publish(&Touched { object, gone: true });
        }
    }

    async fn parsed<T: Resource<DynamicType = ()>>(
        &self,
        mut raw: T,
        parse: Parse<T, K>,
    ) -> Option<K> {
        // Nobody reads them, and they are often the largest part of an object.
        raw.meta_mut().managed_fields = None;
        match parse(raw) {
            Ok(object) => Some(object),
            Err(invalid) => {
                let InvalidObject { error, metadata } = *invalid;
                let reference = k8s_openapi::api::core::v1::ObjectReference {
                    api_version: Some(K::api_version(&()).into_owned()),
                    kind: Some(K::kind(&()).into_owned()),
                    name: metadata.name,
                    namespace: metadata.namespace,
                    uid: metadata.uid,
                    ..Default::default()
                };
                tracing::warn!(kind = %K::kind(&()), name = ?reference.name, namespace = ?reference.namespace, error,
                    "left out an object that cannot be parsed");
                let note = format!(
                    "failed to parse this object, it is left alone until it is corrected: {error}"
                );
                self.events
                    .tell_about(&reference, &Notice::warning("MalformedObject", note))
                    .await;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
