//! Requests of clients in the server's own process: the same router, authentication and rights, but
//! no socket, no TLS and no HTTP framing, whose buffers would take a tenth of the memory of the
//! whole system for some dozens of watches.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use futures::future::BoxFuture;
use http::{Request, Response};
use tower::{BoxError, Service};

/// Answers requests without a connection. They carry an `Authorization` header as any others, and a
/// URL of which only path and query count.
#[derive(Clone)]
pub struct LocalService {
    router: Router,
}

impl LocalService {
    pub(crate) fn new(router: Router) -> Self {
        Self { router }
    }
}

impl<B> Service<Request<B>> for LocalService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.router.call(request);
        // On a task of its own: a client that waits no longer must not stop a write halfway.
        let answer = tokio::spawn(answer);
        Box::pin(async move {
            let answer: Result<_, Infallible> = answer.await?;
            match answer {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        })
    }
}
