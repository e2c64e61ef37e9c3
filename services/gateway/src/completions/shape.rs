//! Refusals in OpenAI's shape.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use fault::{Code, Failure};
use http::{HeaderValue, header};
use serde_json::{Value, json};

use crate::problem::Refused;

/// Writes a refusal anew: clients of OpenAI's API look for `error`.
pub(crate) async fn reshape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(refused) = response.extensions().get::<Refused>().cloned() else { return response };
    let body = json!({ "error": error(&refused.failure) }).to_string();
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// Returns what stands under `error`.
pub(super) fn error(failure: &Failure) -> Value {
    let kind = match failure.reason().code {
        Code::Unauthenticated => "authentication_error",
        Code::PermissionDenied => "permission_error",
        Code::ResourceExhausted => "rate_limit_error",
        Code::InvalidArgument | Code::NotFound | Code::Conflict | Code::FailedPrecondition => "invalid_request_error",
        Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable | Code::Unimplemented | Code::Internal => {
            "server_error"
        }
    };
    json!({
        "message": failure.detail(),
        "type": kind,
        "param": failure.field_name(),
        "code": failure.reason().id,
    })
}
