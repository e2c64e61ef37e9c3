//! Charges the tenant's limits, and shows the windows as headers.

use fault::{Failure, reason};
use http::{HeaderMap, HeaderName, HeaderValue};
use quota::{UsageKind, Window};
use service_kit::Caller;

use crate::edge::Edge;
use crate::problem::Refusal;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Charges one unit; a refusal costs nothing.
pub(crate) async fn charge(edge: &Edge, caller: &Caller, kind: UsageKind) -> Result<Vec<Window>, Failure> {
    Ok(edge.admission.admit(caller, kind).await?.unwrap_or_default())
}

/// Refuses a caller whose limit is used up, before something large is taken in. Charges nothing.
pub(crate) async fn look(edge: &Edge, caller: &Caller) -> Result<(), Refusal> {
    let (tenant, tier) = caller.tenant()?;
    let windows = edge.quota.status(&tenant, tier).await.map_err(|error| crate::problem::refuse(&error))?;
    let used_up = windows.iter().filter(|window| window.remaining == 0).max_by_key(|window| window.reset);
    let Some(window) = used_up else { return Ok(()) };
    let text = format!("the {} requests a {} are used up", window.limit, window.name);
    let failure = Failure::new(&reason::RATE_LIMIT_EXCEEDED, text)
        .retry_after(window.reset)
        .with("limit", window.limit.to_string())
        .with("remaining", "0")
        .with("window", window.name);
    Err(Refusal::from(failure).with_headers(headers(std::slice::from_ref(window))))
}

/// Returns the headers as they stand, after work that somebody else charged; none when they cannot be read, because the
/// work is accepted all the same.
pub(crate) async fn now(edge: &Edge, caller: &Caller) -> HeaderMap {
    let Ok((tenant, tier)) = caller.tenant() else { return HeaderMap::new() };
    edge.quota.status(&tenant, tier).await.map(|windows| headers(&windows)).unwrap_or_default()
}

/// Writes `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of the window that is nearest to its end; nothing for a
/// tier without limits.
pub(crate) fn headers(windows: &[Window]) -> HeaderMap {
    windows.iter().min_by_key(|window| window.remaining).map(written).unwrap_or_default()
}

fn written(window: &Window) -> HeaderMap {
    let seconds = window.reset.as_secs() + u64::from(window.reset.subsec_nanos() > 0);
    HeaderMap::from_iter([
        (LIMIT, HeaderValue::from(window.limit)),
        (REMAINING, HeaderValue::from(window.remaining)),
        (RESET, HeaderValue::from(seconds)),
    ])
}

/// Makes the refusal of an exceeded limit, whoever refused, with the headers.
pub(crate) fn refusal(failure: Failure) -> Refusal {
    let limit = failure.metadata().iter().find(|(key, _)| key == "limit").and_then(|(_, value)| value.parse().ok());
    let headers = match (failure.reason() == &reason::RATE_LIMIT_EXCEEDED, limit, failure.retry_delay()) {
        (true, Some(limit), Some(reset)) => written(&Window { name: "", limit, remaining: 0, reset }),
        _ => HeaderMap::new(),
    };
    Refusal::from(failure).with_headers(headers)
}
