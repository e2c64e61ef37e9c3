//! Refusals in OpenAI's shape.

use axum::body::Body;
use axum::response::Response;
use fault::Failure;
use http::{HeaderValue, header};
use serde_json::{Value, json};

use crate::problem::Refused;

/// Tells whether a path belongs to OpenAI's API, be there anything or not.
pub(crate) fn speaks_to(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// Writes a refusal anew: clients of OpenAI's API look for `error`.
pub(crate) fn reshape(response: Response) -> Response {
    let Some(refused) = response.extensions().get::<Refused>().cloned() else { return response };
    let body = json!({ "error": error(&refused.failure) }).to_string();
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// Returns what stands under `error`.
pub(super) fn error(failure: &Failure) -> Value {
    let kind = match failure.reason().http {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        ..500 => "invalid_request_error",
        _ => "server_error",
    };
    json!({
        "message": failure.detail(),
        "type": kind,
        "param": failure.field_name(),
        "code": failure.reason().id,
    })
}
