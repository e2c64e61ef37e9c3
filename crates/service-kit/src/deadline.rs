//! The time a call may take: `grpc-timeout` and a default, answered with DEADLINE_EXCEEDED.
//!
//! tonic alone answers a deadline that ran out with CANCELLED, and forgets it once a stream has begun. The layer here has
//! its own timer, made before tonic's and looked at first, so that tonic's never wins.

mod bounded;

#[cfg(test)]
mod tests;

use std::time::Duration;

use fault::{Failure, reason};
use futures::future::OptionFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use crate::around::{Answer, Around, Inner};
use bounded::Bounded;

/// Header in which a caller says how long it will wait.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Most time that a caller may ask for: a call holds a place, and who asks for years would keep it.
const MOST: Duration = Duration::from_mins(5);

/// Time for what waits by contract: the longest wait, and the way there and back.
const MOST_WAITING: Duration = MOST.saturating_add(Duration::from_secs(10));

const WAITING: &str = "/nooble.task.v1.TaskService/WaitTask";

/// Methods that may take longer than the default: streams, and the one that waits by contract. A test compares the list
/// with the streams of the contract.
pub(crate) const LONG_METHODS: [&str; 8] = [
    "/nooble.orchestrator.v1.OrchestratorService/Connect",
    "/nooble.ingestion.v1.IngestionService/UploadDocument",
    "/nooble.task.v1.TaskService/WatchTask",
    "/nooble.queue.v1.QueueService/Work",
    WAITING,
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Tells whether a method has no default deadline.
pub(crate) fn is_long(path: &str) -> bool {
    LONG_METHODS.contains(&path)
}

/// When calls end that do not end by themselves, because the process does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// Streams are asked to go elsewhere.
    pub(crate) streams: CancellationToken,
    /// Everything is.
    pub(crate) calls: CancellationToken,
}

/// Ends calls in time.
#[derive(Clone, Debug)]
pub(crate) struct DeadlineLayer {
    default: Duration,
    ending: Ending,
}

impl DeadlineLayer {
    /// Takes the deadline of calls whose caller names none, and the end of the process.
    pub(crate) fn new(default: Duration, ending: Ending) -> Self {
        Self { default, ending }
    }
}

impl Around for DeadlineLayer {
    fn around(&self, inner: &mut impl Inner, request: Request<Body>) -> Answer {
        let path = request.uri().path();
        let (long, limit) = (is_long(path), limit(path, of(request.headers()), self.default));
        // Here and not in the future: tonic makes its timer when this returns.
        let end = limit.map(|limit| Instant::now() + limit);
        let timer = OptionFuture::from(end.map(tokio::time::sleep_until));
        let ending = &self.ending;
        let cut = if long { ending.streams.clone() } else { ending.calls.clone() };
        let answer = inner.call(request);
        Box::pin(async move {
            tokio::select! {
                biased;
                Some(()) = timer => Ok(tonic::Status::from(exceeded()).into_http()),
                answer = answer => {
                    let keep = |body| if long { Body::new(Bounded::new(body, end, cut.clone())) } else { body };
                    answer.map(|response| response.map(keep))
                }
                () = cut.cancelled() => Ok(tonic::Status::from(draining()).into_http()),
            }
        })
    }
}

/// Returns the time for a call. A stream has as much as its caller wants.
fn limit(path: &str, asked: Option<Duration>, default: Duration) -> Option<Duration> {
    match path {
        WAITING => Some(asked.map_or(MOST_WAITING, |asked| asked.min(MOST_WAITING))),
        stream if is_long(stream) => asked,
        _ => Some(asked.map_or(default, |asked| asked.min(MOST))),
    }
}

/// Reads `grpc-timeout`; a malformed one counts as absent, as in tonic.
pub(crate) fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(&GRPC_TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > 8 {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A time for calls, written once for all of them.
#[derive(Clone, Debug)]
pub struct CallTimeout(HeaderValue);

impl CallTimeout {
    /// Takes the time that a call may take.
    pub fn new(limit: Duration) -> Self {
        Self(header(limit))
    }

    /// Makes a call that may take so long.
    pub fn call<T>(&self, message: T) -> tonic::Request<T> {
        let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, self.0.clone())]);
        tonic::Request::from_parts(MetadataMap::from_headers(headers), tonic::Extensions::default(), message)
    }
}

/// Writes `grpc-timeout`, at most eight digits as the protocol says.
pub(crate) fn header(limit: Duration) -> HeaderValue {
    let text = [(limit.as_micros(), 'u'), (limit.as_millis(), 'm'), (limit.as_secs().into(), 'S')]
        .into_iter()
        .find(|(number, _)| *number < 100_000_000)
        .map_or_else(|| "99999999S".to_owned(), |(number, unit)| format!("{number}{unit}"));
    HeaderValue::try_from(text).expect("digits and a letter")
}

pub(crate) fn exceeded() -> Failure {
    Failure::new(&reason::DEADLINE_EXCEEDED, "the call did not end within its deadline")
}

fn draining() -> Failure {
    Failure::new(&reason::DRAINING, "this process is shutting down").retry_after(Duration::from_secs(1))
}
