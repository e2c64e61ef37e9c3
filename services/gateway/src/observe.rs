//! A span, a request id, a line in the log and a measurement for every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use telemetry::{Instrument as _, Origin, Span, SpanKind, Value};
use uuid::Uuid;

use crate::client::{ClientAddress, Secure};
use crate::problem::Refused;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const MAX_REQUEST_ID: usize = 64;

/// Wraps the answering of a request. The caller's trace is continued, so that one trace goes from the browser to the answer.
pub(crate) async fn observe<F>(request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let begun = Instant::now();
    let method = word(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map(MatchedPath::as_str);
    let request_id = request_id(request.headers());
    let span = span(&request, method, route, &request_id);
    telemetry::metric::http::active(1);
    let mut response = answer(request).instrument(span.clone()).await;
    telemetry::metric::http::active(-1);
    let _entered = span.enter();
    finish(&span, &response, method, route, begun);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    let (traceparent, _) = telemetry::current();
    if !traceparent.is_empty()
        && let Ok(value) = HeaderValue::try_from(traceparent)
    {
        headers.insert(TRACE_RESPONSE, value);
    }
    response
}

fn span(request: &Request, method: &'static str, route: Option<&str>, request_id: &str) -> Span {
    let is_secure = request.extensions().get::<Secure>().is_some_and(|secure| secure.0);
    let client = request.extensions().get::<ClientAddress>().map(|client| &client.0);
    let (parent, state) = telemetry::propagate::extract(request.headers());
    let (blank, shown) = route.map_or(("", ""), |route| (" ", route));
    let known = [
        ("http.request.method", Value::Word(method)),
        ("http.route", route.into()),
        ("url.scheme", Value::Word(if is_secure { "https" } else { "http" })),
        // Without the query: parameters may be anything.
        ("url.path", request.uri().path().into()),
        ("client.address", client.map_or(Value::Absent, |address| Value::Shown(address))),
        ("network.protocol.version", Value::Word(version(request.version()))),
        ("nooble.request_id", request_id.into()),
    ];
    let title = format_args!("{method}{blank}{shown}");
    Span::begin(Origin::remote(&parent, &state), SpanKind::Server, "http.request", title, &known)
}

fn finish(span: &Span, response: &Response, method: &'static str, route: Option<&str>, begun: Instant) {
    let status = response.status().as_u16();
    let reason = response.extensions().get::<Refused>().map(|refused| refused.failure.reason().id);
    span.record("http.response.status_code", status);
    if status >= 500 {
        let reason = reason.unwrap_or("error");
        span.record("error.type", Value::Word(reason));
        span.fail(reason);
    }
    let took = begun.elapsed();
    // A path that nobody serves would be a label of the caller's choosing.
    telemetry::metric::http::finished(method, route.unwrap_or("unknown"), status, took);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if matches!(route, Some("/health" | "/ws/health")) {
        tracing::debug!(status, duration_ms, "request answered");
    } else {
        tracing::info!(status, reason, duration_ms, "request answered");
    }
}

/// Takes the caller's id for the request if it is a plain word, and makes one otherwise.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let plain = |text: &str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| plain(text));
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "other",
    }
}
