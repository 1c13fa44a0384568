//! watch: the changes of a selection as they happen, one JSON document a line.
//!
//! An object that begins to match a selector is told as ADDED, one that stops as DELETED, so that a
//! client sees a consistent set whatever it selects by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use kubestash_apimachinery::{FieldError, Status};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::negotiate::{self, Format, Shape};
use super::query::Query;
use super::read::{requested_version, selection};
use super::respond::{self, Response};
use crate::app::App;
use crate::registry::catalogue::Served;
use crate::registry::select::Selection;
use crate::registry::{Refused, wire};
use crate::store::{Change, ChangeKind, Listing, Object, Watcher};

/// How often a client that wants bookmarks gets one when nothing else happens.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Up to this size an object is copied into its event, which makes one piece of three.
const COPIED_BYTES: usize = 4096;
/// How long a watch lasts that names no time: this, and up to as much again.
const DEFAULT_SECONDS: u64 = 1800;

/// How a watch begins.
enum Start {
    /// With the changes after a version.
    At(u64),
    /// With all objects as ADDED.
    All,
    /// With all objects as ADDED, closed by a bookmark (a list in the form of a watch).
    Streamed,
}

struct Watch {
    app: Arc<App>,
    served: Arc<Served>,
    query: Query,
    selection: Selection,
    format: Format,
    bookmarks: bool,
    watcher: Watcher,
    /// The objects that are still to be told as ADDED, and then the version they were listed at.
    initial: VecDeque<Arc<Object>>,
    initial_end: Option<u64>,
    /// What is to be sent next. Objects are shared with the store and with all other watches.
    ready: VecDeque<Bytes>,
    next_bookmark: Instant,
    ends: Instant,
    /// Tables carry their columns once.
    definitions_sent: bool,
    finished: bool,
}

/// Answers a watch.
pub(super) fn serve(call: Call) -> Result<Response, Refused> {
    let mut format = negotiate::accept(&call.parts.headers, true)?;
    format.yaml = false;
    let selection = selection(&call)?;
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let start = start(&call)?;
    let seconds = match call.query.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => u64::try_from(seconds).unwrap_or(DEFAULT_SECONDS),
        _ => DEFAULT_SECONDS + rand::random_range(0..DEFAULT_SECONDS),
    };
    let Call {
        app, target, query, ..
    } = call;
    let served = target.served;
    let (initial, watcher) = match start {
        Start::At(revision) => {
            let watcher = app
                .store
                .watch(&served.storage, revision)
                .map_err(|expired| {
                    Box::new(Status::too_old_resource_version(
                        expired.position,
                        expired.oldest,
                    ))
                })?;
            (None, watcher)
        }
        Start::All | Start::Streamed => {
            let (listing, watcher) = app
                .store
                .list_and_watch(&served.storage, selection.namespace.as_deref());
            (Some((listing, matches!(start, Start::Streamed))), watcher)
        }
    };
    let mut watch = Watch {
        app,
        served,
        query,
        selection,
        format,
        bookmarks,
        watcher,
        initial: VecDeque::new(),
        initial_end: None,
        ready: VecDeque::new(),
        next_bookmark: Instant::now() + BOOKMARK_EVERY,
        ends: Instant::now() + Duration::from_secs(seconds),
        definitions_sent: false,
        finished: false,
    };
    if let Some((listing, streamed)) = initial {
        watch.begin_with(listing, streamed)?;
    }
    let events = stream::unfold(watch, |mut watch| async move {
        let lines = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(lines), watch))
    });
    let mut response = respond::raw_json(Bytes::new());
    *response.status_mut() = StatusCode::OK;
    *response.body_mut() = Body::from_stream(events);
    Ok(response)
}

/// The rules of `resourceVersion`, `resourceVersionMatch` and `sendInitialEvents` for watches.
fn start(call: &Call) -> Result<Start, Refused> {
    let query = &call.query;
    let forbidden = |why: &str| {
        let error = FieldError::forbidden("resourceVersionMatch", why);
        Box::new(Status::invalid_options("ListOptions", &[error]))
    };
    let version = requested_version(call)?;
    let version_match = query.get("resourceVersionMatch");
    match query.given("sendInitialEvents") {
        None if !version_match.is_empty() => Err(forbidden(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        None => Ok(version.map_or(Start::All, Start::At)),
        Some(_) if version_match != "NotOlderThan" => Err(forbidden(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        Some("false" | "0") => Ok(Start::At(
            version.unwrap_or_else(|| call.app.store.revision()),
        )),
        Some(_) => {
            let current = call.app.store.revision();
            match version {
                Some(version) if version > current => Err(Box::new(
                    Status::too_large_resource_version(version, current),
                )),
                _ => Ok(Start::Streamed),
            }
        }
    }
}

impl Watch {
    /// The next piece to send, `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if let Some(object) = self.initial.pop_front() {
                self.event("ADDED", &object);
                continue;
            }
            if let Some(revision) = self.initial_end.take() {
                self.bookmark(revision, true);
                continue;
            }
            if self.finished {
                return None;
            }
            let app = self.app.clone();
            let served = self.served.clone();
            // In this order: what has happened is told before the kind's end is, but neither keeps
            // a watch beyond its time.
            tokio::select! {
                biased;
                () = app.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
                changes = self.watcher.next() => match changes {
                    Ok(changes) => self.tell(&changes),
                    Err(expired) => {
                        self.finished = true;
                        let status = Status::too_old_resource_version(expired.position, expired.oldest);
                        self.line("ERROR", &status.to_value());
                    }
                },
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    let revision = self.watcher.catch_up();
                    self.bookmark(revision, false);
                }
                () = served.gone() => return None,
            };
            self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
        }
    }

    /// All selected objects as ADDED.
    fn begin_with(&mut self, listing: Listing, streamed: bool) -> Result<(), Refused> {
        // An unknown includeObject is refused before the stream begins.
        if let Shape::Table(version) = self.format.shape {
            respond::render_table(&self.served, version, &[], &json!({}), &self.query, false)?;
        }
        let mut objects = listing.objects;
        objects.retain(|object| self.selection.matches(&self.served, object));
        self.initial = objects.into();
        self.initial_end = (streamed && self.bookmarks).then_some(listing.revision);
        Ok(())
    }

    fn tell(&mut self, changes: &[Change]) {
        for change in changes {
            let matches = |object: &Arc<Object>| self.selection.matches(&self.served, object);
            let before = change.previous.as_ref().is_some_and(matches);
            let after = change.kind != ChangeKind::Deleted && matches(&change.object);
            match (before, after) {
                (false, false) => {}
                (false, true) => self.event("ADDED", &change.object),
                (true, true) => self.event("MODIFIED", &change.object),
                (true, false) if change.kind == ChangeKind::Deleted => {
                    self.event("DELETED", &change.object);
                }
                (true, false) => self.left(change),
            }
        }
    }

    /// An object that is selected no more: its last selected state, at the version of the change.
    fn left(&mut self, change: &Change) {
        let Some(previous) = &change.previous else {
            return;
        };
        let mut value = wire::read(&self.served, previous);
        value["metadata"]["resourceVersion"] = change.object.revision.to_string().into();
        self.value_event("DELETED", value);
    }

    fn event(&mut self, kind: &'static str, object: &Object) {
        if self.format.shape != Shape::Whole {
            return self.value_event(kind, wire::read(&self.served, object));
        }
        let begin: &'static [u8] = match kind {
            "ADDED" => b"{\"type\":\"ADDED\",\"object\":",
            "MODIFIED" => b"{\"type\":\"MODIFIED\",\"object\":",
            _ => b"{\"type\":\"DELETED\",\"object\":",
        };
        let object = wire::bytes(&self.served, object);
        if object.len() <= COPIED_BYTES {
            self.ready
                .push_back([begin, &object, b"}\n"].concat().into());
            return;
        }
        self.ready.push_back(Bytes::from_static(begin));
        self.ready.push_back(object);
        self.ready.push_back(Bytes::from_static(b"}\n"));
    }

    fn value_event(&mut self, kind: &str, value: Value) {
        match self.format.shape {
            Shape::Whole => self.line(kind, &value),
            Shape::Metadata(version) => self.line(kind, &respond::metadata_only(&value, version)),
            Shape::Table(version) => {
                let list_metadata =
                    json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                let with_definitions = !self.definitions_sent;
                self.definitions_sent = true;
                let table = respond::render_table(
                    &self.served,
                    version,
                    &[value],
                    &list_metadata,
                    &self.query,
                    with_definitions,
                );
                match table {
                    Ok(table) => self.line(kind, &table),
                    Err(status) => self.line("ERROR", &status.to_value()),
                }
            }
        }
    }

    /// A bookmark carries only a version; `initial_end` marks the one that closes a streamed list.
    fn bookmark(&mut self, revision: u64, initial_end: bool) {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.format.shape {
            Shape::Whole => json!({
                "kind": self.served.info.kind,
                "apiVersion": self.served.info.api_version(),
                "metadata": metadata,
            }),
            Shape::Metadata(version) => {
                respond::metadata_only(&json!({"metadata": metadata}), version)
            }
            Shape::Table(version) => json!({
                "kind": "Table",
                "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": {"resourceVersion": revision.to_string()},
                "columnDefinitions": null,
                "rows": [],
            }),
        };
        self.line("BOOKMARK", &object);
    }

    fn line(&mut self, kind: &str, object: &Value) {
        let mut line = json!({"type": kind, "object": object})
            .to_string()
            .into_bytes();
        line.push(b'\n');
        self.ready.push_back(line.into());
    }
}
