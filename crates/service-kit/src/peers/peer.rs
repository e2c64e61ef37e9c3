//! One call to another service: identity, trace and deadline are added, failures get a reason.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fault::{Failure, reason};
use futures::future::BoxFuture;
use http::{Request, Response};
use telemetry::{Instrument as _, Origin, Span, SpanKind, Value};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::Route;
use super::pool::Away;
use crate::deadline;
use crate::host::code_name;
use crate::identity::{Caller, HEADER, Signed};

/// Time for a call that names none.
const DEFAULT: Duration = Duration::from_secs(5);

/// The transport of the clients of [`Peers`](crate::Peers).
#[derive(Clone, Debug)]
pub struct Peer {
    route: Route,
    caller: Caller,
    signed: Arc<Signed>,
}

impl Peer {
    pub(super) fn new(route: Route, caller: Caller, signed: Arc<Signed>) -> Self {
        Self { route, caller, signed }
    }

    /// Adds what every call carries and returns its deadline.
    fn dress(&self, request: &mut Request<Body>) -> Option<Duration> {
        let asked = deadline::of(request.headers());
        let limit = asked.or_else(|| (!deadline::is_long(request.uri().path())).then_some(DEFAULT));
        let headers = request.headers_mut();
        if let (None, Some(limit)) = (asked, limit) {
            headers.insert(deadline::GRPC_TIMEOUT, deadline::header(limit));
        }
        headers.insert(HEADER, self.signed.header(&self.caller));
        telemetry::propagate::inject(headers);
        limit
    }
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Who takes the call is chosen when there is one.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let span = span(&method);
        let limit = span.in_scope(|| self.dress(&mut request));
        let begun = Instant::now();
        let end = limit.map(|limit| tokio::time::Instant::now() + limit);
        let route = self.route.clone();
        let answer = async move { route.send(request).await };
        let called = span.clone();
        Box::pin(
            async move {
                let answer = match end {
                    Some(end) => tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(end) => Err(deadline::exceeded().into()),
                        answer = answer => answer.map_err(|error| away(&error)),
                    },
                    None => answer.await.map_err(|error| away(&error)),
                };
                let code = code_of(answer.as_ref());
                called.record("rpc.response.status_code", Value::Word(code_name(code)));
                if code != tonic::Code::Ok {
                    called.fail(code_name(code));
                }
                telemetry::metric::grpc::called(&method, code_name(code), begun.elapsed());
                answer
            }
            .instrument(span),
        )
    }
}

/// Makes the span of a call; none in a trace that nobody will see.
fn span(method: &str) -> Span {
    if !telemetry::is_recorded() {
        return Span::none();
    }
    let known = [("rpc.system.name", Value::Word("grpc")), ("rpc.method", method.into())];
    Span::begin(Origin::here(), SpanKind::Client, "rpc", format_args!("{method}"), &known)
}

fn code_of(answer: Result<&Response<Body>, &Status>) -> tonic::Code {
    match answer {
        Ok(response) => Status::from_header_map(response.headers()).map_or(tonic::Code::Ok, |status| status.code()),
        Err(status) => status.code(),
    }
}

/// The transport failed: nobody is there, or not any more. Whether the call was handled is not known.
fn away(error: &Away) -> Status {
    tracing::debug!(error = %error, cause = ?std::error::Error::source(error).map(ToString::to_string), "peer is away");
    let text = "a part of the system did not answer";
    Failure::new(&reason::UNAVAILABLE, text).retry_after(Duration::from_secs(1)).into()
}
