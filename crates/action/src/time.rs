//! Times and durations between Rust and protobuf.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes a time to the microsecond; times before 1970 become 1970.
pub fn to_proto(time: SystemTime) -> prost_types::Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    from_unix_us(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Reads a time; times before 1970, and those that no clock can show, become 1970.
pub fn from_proto(time: prost_types::Timestamp) -> SystemTime {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    let nanos = u32::try_from(time.nanos).unwrap_or_default().min(999_999_999);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)).unwrap_or(UNIX_EPOCH)
}

/// Writes milliseconds since 1970.
pub fn from_unix_ms(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1000).unwrap_or_default() * 1_000_000,
    }
}

/// Reads milliseconds since 1970.
pub fn to_unix_ms(time: &prost_types::Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    seconds.saturating_mul(1000).saturating_add(u64::try_from(time.nanos / 1_000_000).unwrap_or_default())
}

/// Writes microseconds since 1970.
pub fn from_unix_us(us: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(us % 1_000_000).unwrap_or_default() * 1_000,
    }
}

/// Reads microseconds since 1970.
pub fn to_unix_us(time: &prost_types::Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.nanos / 1_000).unwrap_or_default())
}

/// Writes a duration.
pub fn duration_to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// Reads a duration; negative and malformed ones are none.
pub fn duration_from_proto(duration: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(duration.seconds).ok()?, nanos))
}
