//! What every request has around it, from the outside in: what observes it, the questions of browsers, the bounds of its head,
//! panics, and the standing of its tenant's limits. It is one layer, because each of axum's boxes the future of the request and
//! copies all that is beneath it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use fault::Failure;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tower::{Layer, Service, ServiceExt as _};
use tower_http::cors::CorsLayer;

use crate::edge::Edge;
use crate::identity::Known;
use crate::problem::Refusal;
use crate::{completions, head, idempotent, limits, observe};

/// What it takes. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Around(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    edge: Edge,
    /// None when pages of no other origin may ask.
    cors: Option<CorsLayer>,
}

impl Around {
    pub(crate) fn new(edge: Edge) -> Self {
        let cors = edge.config.allowed_origins.layer();
        Self(Arc::new(Inner { edge, cors }))
    }
}

/// What answers requests.
pub(crate) trait Handler:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Handler for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Layer<S> for Around {
    type Service = Surrounded<S>;

    fn layer(&self, handler: S) -> Surrounded<S> {
        Surrounded { around: self.clone(), handler: Arc::new(handler) }
    }
}

/// A handler with all that is around it. It is cloned for every request, and its handler only once more: axum's own way to make
/// layers of functions copies all services beneath three times.
#[derive(Debug)]
pub(crate) struct Surrounded<S> {
    around: Around,
    handler: Arc<S>,
}

impl<S> Clone for Surrounded<S> {
    fn clone(&self) -> Self {
        Self { around: self.around.clone(), handler: Arc::clone(&self.handler) }
    }
}

impl<S: Handler> Service<Request> for Surrounded<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Handlers of axum are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (around, handler) = (self.around.clone(), S::clone(&self.handler));
        Box::pin(async move { Ok(around.0.answer(request, handler).await) })
    }
}

impl Inner {
    /// Answers a request by what is beneath.
    async fn answer(&self, request: Request, handler: impl Handler) -> Response {
        // Outermost, so that nothing goes unseen.
        observe::observe(request, |request| async {
            match &self.cors {
                None => within(&self.edge, request, handler).await,
                Some(cors) => Box::pin(with_cors(&self.edge, cors, request, handler)).await,
            }
        })
        .await
    }
}

/// Around every refusal, so that pages of other origins see what is wrong.
async fn with_cors(edge: &Edge, cors: &CorsLayer, request: Request, handler: impl Handler) -> Response {
    let inner = tower::service_fn(|request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(within(edge, request, handler).await) }
    });
    let Ok(response) = cors.layer(inner).oneshot(request).await;
    response
}

/// Whatever refuses, the routes of OpenAI's API answer in its shape.
async fn within(edge: &Edge, request: Request, handler: impl Handler) -> Response {
    let is_openai = completions::speaks_to(request.uri().path());
    let response = bounded(edge, request, handler).await;
    if is_openai { completions::reshape(response) } else { response }
}

async fn bounded(edge: &Edge, mut request: Request, handler: impl Handler) -> Response {
    if let Err(failure) = head::check(&request) {
        return Refusal::from(failure).into_response();
    }
    let known = Known::default();
    request.extensions_mut().insert(known.clone());
    guarded(|| async {
        let response = if idempotent::is_asked(&request) {
            Box::pin(idempotent::once(edge, request, handler)).await
        } else {
            let Ok(response) = handler.oneshot(request).await;
            response
        };
        limits::stamp(edge, &known, response).await
    })
    .await
}

/// Answers a panic, inside the span, so that the answer has the trace that shows it.
async fn guarded<F: Future<Output = Response>>(answer: impl FnOnce() -> F) -> Response {
    AssertUnwindSafe(answer()).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        Refusal::from(Failure::internal()).into_response()
    })
}

#[cfg(test)]
mod tests;
