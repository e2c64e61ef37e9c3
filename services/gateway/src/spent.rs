//! Callers who go on although their limit is used up. For a moment the same request gets the same answer, before anything of it
//! is looked at: it costs little, and Redis hears nothing of it.
//!
//! The same request means the same client address and the same header fields, byte for byte, but for those that differ without
//! meaning anything here. Its body is not read: what it says would be refused all the same. Nothing is remembered of what was let in.
//! While nobody was refused lately, no request is looked at for it.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahash::RandomState;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use moka::sync::Cache;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::ClientAddress;
use crate::idempotent::KEY;
use crate::observe::{REQUEST_ID, TRACE_RESPONSE, request_id};

/// The route whose refusals are remembered.
const ROUTE: &str = "/api/chat/send";
/// How long at most: a limit may be raised, or a charge be taken back.
const STANDS: Duration = Duration::from_secs(1);
/// How long after a refusal it is looked whether somebody goes on.
const WATCHED: Duration = Duration::from_secs(10);
/// Most refusals that are remembered.
const CAPACITY: u64 = 10_000;
/// Most bytes of an answer that is remembered.
const LONGEST: usize = 16 * 1024;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Left in an answer's extensions: a window of requests of this tier's tenant is used up, and ends after this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverLimit {
    pub(crate) tier: &'static str,
    pub(crate) ends: Duration,
}

/// Answers to those who go on. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    answers: Cache<Same, Arc<Answer>, RandomState>,
    /// Two independent hashes of 64 bits with keys that nobody knows.
    hashers: Arc<[RandomState; 2]>,
    began: Instant,
    /// Until when requests are looked at, in milliseconds since it began.
    watches: Arc<AtomicU64>,
    draining: CancellationToken,
}

/// Stands for a request that asks the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Same(u64, u64);

#[derive(Debug)]
struct Answer {
    until: Instant,
    tier: &'static str,
    headers: HeaderMap,
    body: Bytes,
}

impl Spent {
    /// Begins without any. When the process drains everybody is told so instead.
    pub(crate) fn new(draining: CancellationToken) -> Self {
        let answers = Cache::builder().max_capacity(CAPACITY).time_to_live(STANDS);
        let answers = answers.build_with_hasher(RandomState::new());
        let hashers = Arc::new([RandomState::new(), RandomState::new()]);
        Self { answers, hashers, began: Instant::now(), watches: Arc::default(), draining }
    }

    /// Returns what stands for a request, while somebody was refused lately; none for one that is always looked at: it may be a
    /// repetition of one that was let in, or be followed by a trace.
    pub(crate) fn same<B>(&self, request: &Request<B>) -> Option<Same> {
        let headers = request.headers();
        if self.watches.load(Ordering::Relaxed) <= self.after(Duration::ZERO)
            || request.uri().path() != ROUTE
            || request.uri().query().is_some()
            || request.method() != Method::POST
            || headers.contains_key(KEY)
            || headers.get(&TRACEPARENT).is_some_and(is_sampled)
        {
            return None;
        }
        let client = request.extensions().get::<ClientAddress>().map(|client| client.0);
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            client.hash(&mut hasher);
            for (name, value) in headers {
                if *name != header::CONTENT_LENGTH && *name != REQUEST_ID && *name != TRACEPARENT && *name != TRACESTATE
                {
                    name.as_str().hash(&mut hasher);
                    value.as_bytes().hash(&mut hasher);
                }
            }
            hasher.finish()
        };
        let [first, second] = &*self.hashers;
        Some(Same(hash(first), hash(second)))
    }

    /// Returns the answer that stands.
    pub(crate) fn answer(&self, same: Same, headers: &HeaderMap) -> Option<Response> {
        let begun = Instant::now();
        let answer = self.answers.get(&same).filter(|answer| begun < answer.until && !self.draining.is_cancelled())?;
        let mut response = Response::new(Body::from(answer.body.clone()));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        *response.headers_mut() = answer.headers.clone();
        if let Ok(id) = HeaderValue::try_from(request_id(headers)) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        telemetry::metric::limit::decided(answer.tier, "refused_local");
        telemetry::metric::http::finished("POST", ROUTE, StatusCode::TOO_MANY_REQUESTS.as_u16(), begun.elapsed());
        Some(response)
    }

    /// Remembers an answer that says that a limit is used up, and passes it on; others are passed on as they are.
    pub(crate) async fn note(&self, same: Option<Same>, response: Response) -> Response {
        let Some(OverLimit { tier, ends }) = response.extensions().get().copied() else { return response };
        self.watches.fetch_max(self.after(WATCHED), Ordering::Relaxed);
        match same {
            // Rare, and large: no request that is let in carries it along.
            Some(same) => Box::pin(self.remember(same, tier, ends, response)).await,
            None => response,
        }
    }

    async fn remember(&self, same: Same, tier: &'static str, ends: Duration, response: Response) -> Response {
        let until = Instant::now() + ends.min(STANDS);
        let (parts, body) = response.into_parts();
        // It was made in one piece, so nothing is waited for.
        let Ok(body) = axum::body::to_bytes(body, LONGEST).await else {
            return Response::from_parts(parts, Body::empty());
        };
        if let Some(again) = without_trace(&body) {
            let mut headers = parts.headers.clone();
            for name in [REQUEST_ID, TRACE_RESPONSE, header::CONTENT_LENGTH] {
                headers.remove(name);
            }
            self.answers.insert(same, Arc::new(Answer { until, tier, headers, body: again }));
        }
        Response::from_parts(parts, Body::from(body))
    }

    /// Returns a moment some time from now, in milliseconds since it began.
    fn after(&self, time: Duration) -> u64 {
        u64::try_from((self.began.elapsed() + time).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Tells whether the caller has its trace recorded; what is recorded must be there to see.
fn is_sampled(traceparent: &HeaderValue) -> bool {
    let last = traceparent.as_bytes().last().copied().unwrap_or_default();
    char::from(last).to_digit(16).is_some_and(|flags| flags % 2 == 1)
}

/// An answer that is given again belongs to no trace.
fn without_trace(body: &[u8]) -> Option<Bytes> {
    let mut problem: Value = serde_json::from_slice(body).ok()?;
    problem.as_object_mut()?.remove("trace_id");
    serde_json::to_vec(&problem).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests;
