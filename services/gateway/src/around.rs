//! What every request has around it, from the outside in: what observes it, the questions of browsers, the bounds of its head,
//! panics, and the standing of its tenant's limits. It is one layer, because each of axum's boxes the future of the request and
//! copies all that is beneath it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fault::Failure;
use futures::FutureExt as _;
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::CorsLayer;

use crate::edge::Edge;
use crate::identity::Known;
use crate::problem::Refusal;
use crate::{completions, head, limits, observe};

/// What it takes. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    edge: Edge,
    /// None when pages of no other origin may ask.
    cors: Option<Box<CorsLayer>>,
}

impl Around {
    pub(crate) fn new(edge: Edge) -> Self {
        let cors = edge.config.allowed_origins.layer().map(Box::new);
        Self { edge, cors }
    }
}

/// Answers a request by what is beneath.
pub(crate) async fn answer(State(Around { edge, cors }): State<Around>, request: Request, next: Next) -> Response {
    // Outermost, so that nothing goes unseen.
    observe::observe(request, |request| async move {
        match cors {
            None => within(&edge, request, next).await,
            Some(cors) => Box::pin(with_cors(&edge, &cors, request, next)).await,
        }
    })
    .await
}

/// Around every refusal, so that pages of other origins see what is wrong.
async fn with_cors(edge: &Edge, cors: &CorsLayer, request: Request, next: Next) -> Response {
    let inner = tower::service_fn(|request| {
        let next = next.clone();
        async move { Ok::<_, Infallible>(within(edge, request, next).await) }
    });
    let Ok(response) = cors.layer(inner).oneshot(request).await;
    response
}

/// Whatever refuses, the routes of OpenAI's API answer in its shape.
async fn within(edge: &Edge, request: Request, next: Next) -> Response {
    let is_openai = completions::speaks_to(request.uri().path());
    let response = bounded(edge, request, next).await;
    if is_openai { completions::reshape(response) } else { response }
}

async fn bounded(edge: &Edge, mut request: Request, next: Next) -> Response {
    if let Err(failure) = head::check(&request) {
        return Refusal::from(failure).into_response();
    }
    let known = Known::default();
    request.extensions_mut().insert(known.clone());
    guarded(|| async {
        let response = next.run(request).await;
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
