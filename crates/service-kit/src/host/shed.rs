//! The layer that refuses calls rather than queueing them without bound.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fault::{Failure, reason};
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{Layer, Service};

/// Admits a number of calls at once over all connections; the next one is told `OVERLOADED`. A stream counts until it
/// begins. tower's own layers limit a connection at a time and cannot say why.
#[derive(Clone, Debug)]
pub(crate) struct ShedLayer {
    places: Arc<Semaphore>,
}

impl ShedLayer {
    pub(crate) fn new(calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls)) }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed { inner, places: Arc::clone(&self.places) }
    }
}

/// See [`ShedLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Shed<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S> Service<Request<Body>> for Shed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.") {
            // A full process is alive; a probe that is refused would have it restarted.
            return Box::pin(self.inner.call(request));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let failure =
                Failure::new(&reason::OVERLOADED, "too many calls at once").retry_after(Duration::from_secs(1));
            return Box::pin(std::future::ready(Ok(tonic::Status::from(failure).into_http())));
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await;
            drop(place);
            response
        })
    }
}
