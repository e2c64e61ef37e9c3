//! The routes, and what every one of them has around it.

use std::any::Any;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use fault::{Failure, reason};
use http::request::Parts;
use tower_http::catch_panic::CatchPanicLayer;

use crate::edge::Edge;
use crate::problem::Refusal;
use crate::{chat, documents, errors_page, head, health, observe, socket, tasks};

/// Makes the router.
pub(crate) fn router(edge: Edge) -> Router {
    let cors = tower::util::option_layer(edge.config.allowed_origins.layer());
    Router::new()
        .route("/api/chat/send", post(chat::send))
        .route("/api/v1/tasks/{id}", get(tasks::get))
        .route("/api/v1/tasks/{id}/cancel", post(tasks::cancel))
        .route("/api/v1/documents", post(documents::upload))
        .route("/ws/{session_id}", get(socket::upgrade))
        .route("/health", get(health::health))
        .route("/errors", get(errors_page::list))
        .route("/errors/{slug}", get(errors_page::show))
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .fallback(|| async { not_found() })
        // Handlers bound what they read themselves, each by its own measure.
        .layer(DefaultBodyLimit::disable())
        // Inside the span, so that a panic is answered with the trace that shows it.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(head::bound))
        // Around every refusal, so that pages of other origins see what is wrong.
        .layer(cors)
        // Outermost, so that nothing goes unseen.
        .layer(axum::middleware::from_fn(observe::observe))
        .with_state(edge)
}

/// The variable part of a path.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Failure::new(&reason::INVALID_REQUEST, "the path is not valid UTF-8").into()),
        }
    }
}

fn not_found() -> Refusal {
    Failure::new(&reason::NOT_FOUND, "there is nothing at this path").into()
}

fn method_not_allowed() -> Refusal {
    Failure::new(&reason::METHOD_NOT_ALLOWED, "the path does not take this method").into()
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Refusal::from(Failure::internal()).into_response()
}

#[cfg(test)]
mod tests;
