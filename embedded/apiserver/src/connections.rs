//! The connections of the server: how many there are, which are idle, and which do not go on.
//!
//! ```text
//!   accept ─► Guard ─► Guarded stream (a peer that takes nothing for STALLED is cut off)
//!                └───► Counted service (requests under way; none: the connection is idle)
//! ```
//!
//! Invariant: there are never more connections than the limit. When it is reached, the one that has
//! been idle longest makes room for a new one; only while all of them are at work is a new one
//! refused.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready as poll_ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum_server::accept::Accept;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::Service;

/// How long a peer may take nothing of what is there for it.
const STALLED: Duration = Duration::from_secs(30);
/// As many connections as there may be where file descriptors do not matter.
const MOST: u64 = 10_000;
/// As many as are always possible.
const FEWEST: u64 = 8;

/// How many connections a process with so many file descriptors can have: half, for there are other
/// files.
pub(crate) fn limit() -> usize {
    // Where the limit cannot be read, the usual one holds.
    let (files, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .unwrap_or((1024, 1024));
    usize::try_from((files / 2).clamp(FEWEST, MOST)).unwrap_or(FEWEST as usize)
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    next: AtomicU64,
    open: Mutex<HashMap<u64, State>>,
}

#[derive(Debug)]
struct State {
    /// Requests under way.
    active: usize,
    /// Since when there has been none.
    idle_since: Instant,
    close: CancellationToken,
}

impl Connections {
    /// With room for `limit`.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            next: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    /// How many there are.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, State>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection, at the expense of the longest idle one if there are too many.
    fn enter(self: &Arc<Self>) -> Option<Arc<Entry>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let close = CancellationToken::new();
        let mut open = self.open();
        if open.len() >= self.limit {
            let idlest = open
                .iter()
                .filter(|(_, state)| state.active == 0)
                .min_by_key(|(_, state)| state.idle_since)
                .map(|(id, _)| *id)?;
            // It counts no more, although its end takes a moment.
            if let Some(state) = open.remove(&idlest) {
                state.close.cancel();
            }
        }
        open.insert(
            id,
            State {
                active: 0,
                idle_since: Instant::now(),
                close: close.clone(),
            },
        );
        Some(Arc::new(Entry {
            connections: self.clone(),
            id,
            close,
        }))
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.open().get_mut(&id) {
            change(state);
        }
    }
}

/// A registered connection.
#[derive(Debug)]
struct Entry {
    connections: Arc<Connections>,
    id: u64,
    close: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.open().remove(&self.id);
    }
}

/// A request under way.
#[derive(Debug)]
struct Active(Arc<Entry>);

impl Active {
    fn begin(entry: &Arc<Entry>) -> Self {
        entry
            .connections
            .change(entry.id, |state| state.active += 1);
        Self(entry.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.connections.change(self.0.id, |state| {
            state.active = state.active.saturating_sub(1);
            state.idle_since = Instant::now();
        });
    }
}

/// Accepts connections as far as there is room.
#[derive(Debug, Clone)]
pub(crate) struct Guard(pub(crate) Arc<Connections>);

impl<S> Accept<TcpStream, S> for Guard {
    type Stream = Guarded<TcpStream>;
    type Service = Counted<S>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Some(entry) = self.0.enter() else {
            return ready(Err(io::Error::other("too many connections at work")));
        };
        // The events of a watch are small and must not wait for the acknowledgement of the one
        // before.
        if let Err(error) = stream.set_nodelay(true) {
            return ready(Err(error));
        }
        let service = Counted {
            service,
            entry: entry.clone(),
        };
        ready(Ok((Guarded::new(stream, entry, STALLED), service)))
    }
}

/// A stream that ends when its place is needed, or when its peer takes nothing any more.
#[derive(Debug)]
pub(crate) struct Guarded<I> {
    inner: I,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _entry: Arc<Entry>,
}

impl<I> Guarded<I> {
    fn new(inner: I, entry: Arc<Entry>, patience: Duration) -> Self {
        Self {
            inner,
            closed: Box::pin(entry.close.clone().cancelled_owned()),
            patience,
            stalled: None,
            _entry: entry,
        }
    }

    fn check_closed(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was idle and its place is needed",
            )),
            Poll::Pending => Ok(()),
        }
    }

    /// Passes a write on; one that waits too long is an error.
    fn in_time<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        poll_ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer takes nothing",
        )))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_closed(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_closed(context)?;
        let outcome = Pin::new(&mut self.inner).poll_write(context, buffer);
        self.in_time(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_closed(context)?;
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.in_time(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.in_time(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.in_time(outcome, context)
    }
}

/// A service that knows of the requests under way, to the end of their answers.
#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    service: S,
    entry: Arc<Entry>,
}

impl<S, B> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<CountedBody>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let active = Active::begin(&self.entry);
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| CountedBody {
                body,
                _active: active,
            }))
        })
    }
}

/// The body of an answer under way.
#[derive(Debug)]
pub(crate) struct CountedBody {
    body: Body,
    _active: Active,
}

impl HttpBody for CountedBody {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room_and_one_at_work_never_does() {
        let connections = Connections::new(3);
        let entries: Vec<Arc<Entry>> = (0..3).map(|_| connections.enter().unwrap()).collect();
        let at_work = Active::begin(&entries[0]);
        let fourth = connections.enter().unwrap();
        assert!(!entries[0].close.is_cancelled(), "it is at work");
        assert!(entries[1].close.is_cancelled(), "it was idle longest");
        assert!(!entries[2].close.is_cancelled());
        assert_eq!(connections.count(), 3);

        let others = [Active::begin(&entries[2]), Active::begin(&fourth)];
        assert!(connections.enter().is_none(), "all are at work");
        drop(others);
        drop(at_work);
        // The one that was at work last is the least idle.
        assert!(connections.enter().is_some());
        assert!(!entries[0].close.is_cancelled());
        drop(entries);
        drop(fourth);
        assert_eq!(connections.count(), 0);
    }

    #[tokio::test]
    async fn a_connection_whose_place_is_needed_ends_for_its_peer() {
        let connections = Connections::new(1);
        let entry = connections.enter().unwrap();
        let (mut peer, stream) = tokio::io::duplex(64);
        let mut stream = Guarded::new(stream, entry, STALLED);
        let reading = tokio::spawn(async move { stream.read_u8().await });
        let _newer = connections.enter().unwrap();
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_cut_off_and_a_slow_one_is_not() {
        let connections = Connections::new(8);
        let (_deaf, stream) = tokio::io::duplex(64);
        let patience = Duration::from_millis(50);
        let mut stream = Guarded::new(stream, connections.enter().unwrap(), patience);
        let error = stream.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (mut slow, stream) = tokio::io::duplex(1);
        let patience = Duration::from_secs(60);
        let mut stream = Guarded::new(stream, connections.enter().unwrap(), patience);
        let taking = tokio::spawn(async move {
            let mut taken = Vec::new();
            slow.read_to_end(&mut taken).await.map(|_| taken.len())
        });
        stream.write_all(&[0; 500]).await.unwrap();
        drop(stream);
        assert_eq!(taking.await.unwrap().unwrap(), 500);
    }
}
