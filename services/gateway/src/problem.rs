//! A failure as the answer to an HTTP request.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use fault::{Failure, Fault, Problem};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Media type of RFC 9457.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A failure on its way out as `application/problem+json`. Handlers return it with `?`.
#[derive(Debug)]
pub(crate) struct Refusal(Box<(Failure, HeaderMap)>);

/// What was refused, left in the answer's extensions for the request log and for whoever writes refusals differently.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) failure: Arc<Failure>,
}

impl Refusal {
    /// Adds headers that the answer carries besides its own.
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.1 = headers;
        self
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(Box::new((failure, HeaderMap::new())))
    }
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        Failure::from_status(&status).into()
    }
}

/// Turns an error into a refusal; the chain of a defect goes to the log, never to the caller.
pub(crate) fn refuse(error: &(impl Fault + ?Sized)) -> Refusal {
    let failure = error.failure();
    if failure.reason().code == fault::Code::Internal {
        tracing::error!(reason = failure.reason().id, error = %error, "internal error");
    }
    failure.into()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (failure, headers) = *self.0;
        let mut problem = Problem::of(&failure);
        problem.trace_id = telemetry::Span::current().trace_id();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).expect("a problem is made of strings and numbers");
        let mut response = (status, headers, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after.or_else(|| default_retry(status)) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nooble\""));
        }
        response.extensions_mut().insert(Refused { failure: Arc::new(failure) });
        response
    }
}

/// Every 503 says when to come back, also when whoever refused did not.
fn default_retry(status: StatusCode) -> Option<u64> {
    (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
}
