//! `GET /asyncapi.json`: the WebSocket for machines. The document is `docs/asyncapi.yaml`, kept here as JSON so that nothing has
//! to be read at run time; a test compares the two.

use axum::response::IntoResponse;
use http::header;

const DOCUMENT: &str = include_str!("asyncapi/document.json");

/// Handles the route.
pub(crate) async fn document() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "application/vnd.aai.asyncapi+json;version=3.0.0"),
            (header::CACHE_CONTROL, "max-age=300"),
        ],
        DOCUMENT,
    )
}

#[cfg(test)]
mod tests;
