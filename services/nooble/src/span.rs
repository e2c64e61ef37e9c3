//! Spans of time on the command line: `500ms`, `10s`, `5m`, `2h`, `7d`, and several in a row like `1h30m`.

use std::time::Duration;

use serde_json::Value;

/// Reads a span.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time: write 500ms, 10s, 5m, 2h, 7d or 1h30m");
    let (mut rest, mut sum) = (text, Duration::ZERO);
    if text.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        let ms = match &rest[digits..unit] {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => None,
        };
        sum = ms.and_then(|ms| sum.checked_add(Duration::from_millis(ms))).ok_or_else(wrong)?;
        rest = &rest[unit..];
    }
    Ok(sum)
}

/// Writes a span in at most seven characters, for people.
pub(crate) fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_millis() < 1_000 => format!("{}ms", span.as_millis()),
        0..=59 => format!("{:.1}s", span.as_secs_f64()),
        60..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Writes a span of the wire for people; a dash when it is unset.
pub(crate) fn of(span: Option<&prost_types::Duration>) -> String {
    span.and_then(action::time::duration_from_proto).map_or_else(|| "-".to_owned(), short)
}

/// Writes a span of the wire as seconds in JSON; null when it is unset.
pub(crate) fn json(span: Option<&prost_types::Duration>) -> Value {
    span.and_then(action::time::duration_from_proto).map_or(Value::Null, |span| span.as_secs_f64().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_sum_of_numbers_with_units() {
        for (text, ms) in [("0s", 0), ("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("7d", 604_800_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1.5s", "1w", "10s5", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_is_written_in_its_two_largest_units() {
        let spans = [(0, "0ms"), (250, "250ms"), (3_240, "3.2s"), (184_000, "3m04s"), (7_260_000, "2h01m")];
        for (ms, text) in spans {
            assert_eq!(short(Duration::from_millis(ms)), text);
        }
        assert_eq!(short(Duration::from_hours(49)), "2d01h");
        assert_eq!(of(None), "-");
    }
}
