//! Charges the tenant's limits, and shows them as headers on every answer.

use std::time::Duration;

use axum::response::Response;
use fault::{Failure, Fault as _, reason};
use http::{HeaderMap, HeaderName, HeaderValue};
use quota::Window;
use service_kit::{Caller, NotAdmitted};

use crate::edge::Edge;
use crate::identity::Known;
use crate::problem::{Refusal, Refused};
use crate::spent::OverLimit;

/// About as many bytes as one limit takes in a header.
const PER_WINDOW: usize = 40;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Makes the refusal of a request that was not admitted; it costs nothing and carries the headers, too.
pub(crate) fn refused(refused: NotAdmitted) -> Refusal {
    let NotAdmitted { failure, windows } = refused;
    let violated = fact(&failure, "window").and_then(|name| windows.iter().find(|window| window.name == name));
    let mut headers = headers(&windows);
    if let Some(violated) = violated {
        nearest(&mut headers, violated);
    }
    Refusal::from(failure).with_headers(headers)
}

/// Refuses a caller whose limit is used up, before something large is taken in. Charges nothing.
pub(crate) async fn look(edge: &Edge, caller: &Caller) -> Result<(), Refusal> {
    let (tenant, tier) = caller.tenant()?;
    edge.quota.look(&tenant, tier).await.map_err(|error| match error {
        quota::Error::Exceeded(_) => Refusal::from(error.failure()).with_headers(headers(error.windows())),
        error => crate::problem::refuse(&error),
    })
}

/// Returns the headers as they stand now, after work that another service charged; none when they cannot be read.
pub(crate) async fn now(edge: &Edge, caller: &Caller) -> HeaderMap {
    let Ok((tenant, tier)) = caller.tenant() else { return HeaderMap::new() };
    edge.quota.status(&tenant, tier).await.map(|windows| headers(&windows)).unwrap_or_default()
}

/// Writes how the limits of a tenant stand on every answer to it that does not say so already, also on refusals and streams.
/// When they cannot be read the answer goes out without: it is right all the same.
pub(crate) async fn stamp(edge: &Edge, known: &Known, mut response: Response) -> Response {
    let Some(Ok((tenant, tier))) = known.caller().map(Caller::tenant) else { return response };
    if let Some(ends) = response.extensions().get().and_then(used_up) {
        response.extensions_mut().insert(OverLimit { tier: tier.as_str(), ends });
    }
    if response.headers().contains_key(POLICY) {
        return response;
    }
    // Rare, and large: answers that say it themselves need not carry it along.
    let Ok(windows) = Box::pin(edge.quota.glance(&tenant, tier)).await else { return response };
    for (name, value) in headers(&windows) {
        if let Some(name) = name {
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}

/// Returns when the window of requests ends that a refusal says is used up. Those of tasks and tokens open again without ending.
fn used_up(refused: &Refused) -> Option<Duration> {
    let failure = &refused.failure;
    let window = fact(failure, "window").filter(|_| failure.reason() == &reason::RATE_LIMIT_EXCEEDED)?;
    let counts_requests = window != "tasks" && !window.starts_with("tokens");
    failure.retry_delay().filter(|_| counts_requests)
}

/// Returns the limits as [`show`] writes them.
pub(crate) fn headers(windows: &[Window]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    show(&mut headers, windows);
    headers
}

/// Writes the limits where an answer says nothing of any.
pub(crate) fn show_at_least(headers: &mut HeaderMap, windows: &[Window]) {
    if !headers.contains_key(POLICY) {
        show(headers, windows);
    }
}

/// Writes the limits: `RateLimit-Policy` and `RateLimit` as the IETF's draft has them, and for clients that know no better
/// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of the window of requests that is nearest to its end: of the tier or, for
/// those who have none, of their address. Nothing for a tier without limits.
pub(crate) fn show(headers: &mut HeaderMap, windows: &[Window]) {
    if windows.is_empty() {
        return;
    }
    for (name, item) in [(POLICY, policy as fn(&mut String, &Window)), (STANDING, standing)] {
        if let Ok(value) = HeaderValue::try_from(list(windows, item)) {
            headers.insert(name, value);
        }
    }
    let of_tier = windows.iter().filter(|window| matches!(window.name, "minute" | "day" | "address" | "visits"));
    if let Some(window) = of_tier.min_by_key(|window| window.remaining) {
        nearest(headers, window);
    }
}

fn list(windows: &[Window], item: fn(&mut String, &Window)) -> String {
    let mut text = String::with_capacity(windows.len() * PER_WINDOW);
    for window in windows {
        text.push_str(if text.is_empty() { "" } else { ", " });
        item(&mut text, window);
    }
    text
}

/// Writes the limits as clients of OpenAI's API read them, besides those of all answers.
pub(crate) fn openai_headers(windows: &[Window]) -> HeaderMap {
    let mut written = headers(windows);
    let mut nearest_of = |unit: &str, tokens: bool| {
        let of_unit = windows.iter().filter(|window| !window.length.is_zero() && window.counts_requests() != tokens);
        let Some(window) = of_unit.min_by_key(|window| window.remaining) else { return };
        let facts = [
            ("limit", window.limit.to_string()),
            ("remaining", window.remaining.to_string()),
            ("reset", format!("{}s", window.reset_seconds())),
        ];
        for (fact, text) in facts {
            let name = HeaderName::try_from(format!("x-ratelimit-{fact}-{unit}"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(text)) {
                written.insert(name, value);
            }
        }
    };
    nearest_of("requests", false);
    nearest_of("tokens", true);
    written
}

fn policy(text: &mut String, window: &Window) {
    let unit = match window.name {
        "tasks" => ";qu=\"concurrent-requests\"",
        name if name.starts_with("tokens") => ";qu=\"tokens\"",
        _ => "",
    };
    put(text, ["\"", window.name, "\";q="], window.limit);
    text.push_str(unit);
    if !window.length.is_zero() {
        put(text, [";w="], window.length.as_secs());
    }
}

fn standing(text: &mut String, window: &Window) {
    put(text, ["\"", window.name, "\";r="], window.remaining);
    if !window.length.is_zero() {
        put(text, [";t="], window.reset_seconds());
    }
}

/// Writes words and a number. Every answer has a dozen of them, and formatting them the usual way takes five times as long.
fn put<const N: usize>(text: &mut String, words: [&str; N], number: u64) {
    for word in words {
        text.push_str(word);
    }
    text.push_str(itoa::Buffer::new().format(number));
}

fn nearest(headers: &mut HeaderMap, window: &Window) {
    headers.insert(LIMIT, window.limit.into());
    headers.insert(REMAINING, window.remaining.into());
    headers.insert(RESET, window.reset_seconds().into());
}

/// Makes the refusal of a limit that another service looked at, with what it says about it.
pub(crate) fn refusal(failure: Failure) -> Refusal {
    let limit = fact(&failure, "limit").and_then(|limit| limit.parse().ok());
    let mut headers = HeaderMap::new();
    if let (true, Some(limit), Some(reset)) =
        (failure.reason() == &reason::RATE_LIMIT_EXCEEDED, limit, failure.retry_delay())
    {
        nearest(&mut headers, &Window { name: "", limit, remaining: 0, reset, length: Duration::ZERO });
    }
    Refusal::from(failure).with_headers(headers)
}

fn fact<'a>(failure: &'a Failure, name: &str) -> Option<&'a str> {
    failure.metadata().iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests;
