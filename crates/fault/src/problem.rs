//! A failure as RFC 9457 problem details.

use serde::Serialize;

use crate::{Failure, reason};

/// The body of an `application/problem+json` answer.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// Where the problem is explained: `/errors/{slug}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short summary, the same for every occurrence.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Stable machine name, the same as in gRPC's ErrorInfo.
    pub reason: &'static str,
    /// Header, parameter or body field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Seconds after which it is worth trying again, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Trace of the request, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Further machine-readable details.
    #[serde(flatten)]
    pub extensions: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// Renders a failure.
    pub fn of(failure: &Failure) -> Self {
        let reason = failure.reason();
        Self {
            kind: format!("/errors/{}", reason.slug),
            title: reason.title,
            status: reason.http,
            detail: failure.detail().to_owned(),
            reason: reason.id,
            field: failure.field_name().map(str::to_owned),
            retry_after: failure.retry_delay().map(whole_seconds),
            trace_id: None,
            extensions: extensions(failure),
        }
    }
}

/// What a failure tells besides; the limit that refused also under the name of the IETF's draft.
fn extensions(failure: &Failure) -> serde_json::Map<String, serde_json::Value> {
    let mut facts: serde_json::Map<_, _> =
        failure.metadata().iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    if failure.reason() == &reason::RATE_LIMIT_EXCEEDED
        && let Some(window) = facts.get("window").cloned()
    {
        facts.insert("violated-policies".to_owned(), serde_json::Value::Array(vec![window]));
    }
    facts
}

fn whole_seconds(delay: std::time::Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}
