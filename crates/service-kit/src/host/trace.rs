//! The outermost layer of the gRPC server: a span and a measurement for every call.

use std::time::Instant;

use http::Request;
use telemetry::{Instrument as _, Origin, Span, SpanKind, Value};
use tonic::body::Body;

use crate::around::{Answer, Around, Inner};

/// Continues the caller's trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceLayer;

impl Around for TraceLayer {
    fn around(&self, inner: &mut impl Inner, request: Request<Body>) -> Answer {
        let path = request.uri().path();
        if !path.starts_with("/nooble.") {
            // Probes ask every second, and a path that nobody serves is whatever its sender likes.
            return Box::pin(inner.call(request));
        }
        let method = path.trim_start_matches('/').to_owned();
        let span = server_span(&method, &request);
        let begun = Instant::now();
        let answer = span.in_scope(|| inner.call(request));
        let ended = span.clone();
        Box::pin(
            async move {
                let response = answer.await?;
                let status = tonic::Status::from_header_map(response.headers());
                let code = status.map_or(tonic::Code::Ok, |status| status.code());
                finish(&ended, &method, code, begun);
                Ok(response)
            }
            .instrument(span),
        )
    }
}

fn server_span(method: &str, request: &Request<Body>) -> Span {
    let (parent, state) = telemetry::propagate::extract(request.headers());
    let known = [("rpc.system.name", Value::Word("grpc")), ("rpc.method", method.into())];
    Span::begin(Origin::remote(&parent, &state), SpanKind::Server, "rpc", format_args!("{method}"), &known)
}

fn finish(span: &Span, method: &str, code: tonic::Code, begun: Instant) {
    let name = code_name(code);
    span.record("rpc.response.status_code", Value::Word(name));
    if is_ours(code) {
        span.fail(name);
    }
    // A method that nobody serves would be a label of the caller's choosing.
    let method = if code == tonic::Code::Unimplemented { "unknown" } else { method };
    telemetry::metric::grpc::answered(method, name, begun.elapsed());
}

/// Failures of the server's making, as the semantic conventions count them.
fn is_ours(code: tonic::Code) -> bool {
    use tonic::Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// Returns the name that the protocol gives a code.
pub(crate) fn code_name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
