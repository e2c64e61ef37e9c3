//! Reads single fields of requests, and refuses what is out of its bounds by the field's name.

use std::time::{Duration, SystemTime};

use action::{Domain, TenantId, Tier, time};
use fault::{Failure, Fault as _, reason};

/// Longest time that anything is put off or kept.
pub(super) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Shortest time that means anything: Redis counts milliseconds.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// Most characters of a reason.
const REASON: usize = 200;

/// Refuses a field.
pub(super) fn invalid(field: &'static str, detail: impl Into<String>) -> Failure {
    Failure::new(&reason::INVALID_FIELD, detail).field(field)
}

/// Refuses a field that is absent.
pub(super) fn missing(field: &'static str) -> Failure {
    action::Error::Missing(field).failure()
}

/// Reads a domain that must be named.
pub(super) fn domain(text: &str) -> Result<Domain, Failure> {
    if text.is_empty() {
        return Err(missing("domain"));
    }
    text.parse().map_err(|error: action::Error| error.failure())
}

/// Reads a domain; all of them when none is named.
pub(super) fn domains(text: &str) -> Result<Vec<Domain>, Failure> {
    if text.is_empty() { Ok(Domain::ALL.to_vec()) } else { Ok(vec![domain(text)?]) }
}

/// Reads a tier; none when it is unspecified.
pub(super) fn tier(value: i32) -> Result<Option<Tier>, Failure> {
    if value == 0 { Ok(None) } else { Tier::from_proto(value).map(Some).map_err(|error| error.failure()) }
}

/// Reads a tenant; none when it is empty.
pub(super) fn tenant(text: &str) -> Result<Option<TenantId>, Failure> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|error: action::Error| error.failure()) }
}

/// Reads a duration; none when it is unset, refused when it is negative or malformed.
pub(super) fn duration(field: &'static str, value: Option<prost_types::Duration>) -> Result<Option<Duration>, Failure> {
    let read = |value| {
        time::duration_from_proto(&value).ok_or_else(|| invalid(field, format!("`{field}` must not be negative")))
    };
    value.map(read).transpose()
}

/// Reads a duration that must lie between one millisecond and a longest one.
pub(super) fn span(
    field: &'static str,
    value: Option<prost_types::Duration>,
    longest: Duration,
) -> Result<Option<Duration>, Failure> {
    match duration(field, value)? {
        Some(span) if !(SHORTEST..=longest).contains(&span) => {
            Err(invalid(field, format!("`{field}` is 1 ms to {}", words(longest))))
        }
        span => Ok(span),
    }
}

/// Reads a moment; none when it is unset, refused when no clock shows it. One before 1970 is long past all the same.
pub(super) fn moment(
    field: &'static str,
    value: Option<prost_types::Timestamp>,
) -> Result<Option<SystemTime>, Failure> {
    match value {
        Some(at) if !(0..1_000_000_000).contains(&at.nanos) => {
            Err(invalid(field, format!("`{field}` is no point in time")))
        }
        at => Ok(at.map(time::from_proto)),
    }
}

/// Reads a reason for the records.
pub(super) fn why(text: &str) -> Result<&str, Failure> {
    if text.chars().count() > REASON {
        return Err(invalid("reason", "`reason` has at most 200 characters"));
    }
    Ok(text)
}

fn words(span: Duration) -> String {
    match span.as_secs() / 86_400 {
        0 => format!("{} hours", span.as_secs() / 3_600),
        days => format!("{days} days"),
    }
}
