//! The shape that the layers of the gRPC server share: something that is done around every call.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// What a call comes to; a failure is a response too.
pub(crate) type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// What lies further in.
pub(crate) trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Something that is done around every call.
pub(crate) trait Around: Clone {
    /// Answers a call, with `inner` or without. `inner` is ready for one call.
    fn around(&self, inner: &mut impl Inner, request: Request<Body>) -> Answer;
}

/// Makes an [`Around`] a layer, and of the layer and what lies further in a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layered<A, S = ()> {
    around: A,
    inner: S,
}

impl<A> Layered<A> {
    pub(crate) fn new(around: A) -> Self {
        Self { around, inner: () }
    }
}

impl<A: Clone, S> Layer<S> for Layered<A> {
    type Service = Layered<A, S>;

    fn layer(&self, inner: S) -> Layered<A, S> {
        Layered { around: self.around.clone(), inner }
    }
}

impl<A: Around, S: Inner> Service<Request<Body>> for Layered<A, S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        self.around.around(&mut self.inner, request)
    }
}
