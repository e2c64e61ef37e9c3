//! Bounds of single fields.

use std::ops::RangeInclusive;
use std::str::FromStr;

use uuid::Uuid;

use crate::Error;

/// Reads an identifier, or makes one when the field is empty.
pub(crate) fn id_or_new<T: FromStr<Err = action::Error>>(field: &'static str, text: &str) -> Result<T, Error> {
    if text.is_empty() { id(field, &Uuid::now_v7().to_string()) } else { id(field, text) }
}

/// Reads an identifier.
pub(crate) fn id<T: FromStr<Err = action::Error>>(field: &'static str, text: &str) -> Result<T, Error> {
    let problem = if text.is_empty() { "is required" } else { "must be 3 to 64 characters out of A-Z a-z 0-9 _ -" };
    text.parse().map_err(|_| Error::field(field, problem))
}

/// Reads a text of one line; blanks around it do not count.
pub(crate) fn line(field: &'static str, text: &str, length: RangeInclusive<usize>) -> Result<String, Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::field(field, "must be one line without control characters"));
    }
    bounded(field, text.trim(), length)
}

/// Reads a text of any number of lines.
pub(crate) fn prose(field: &'static str, text: &str, length: RangeInclusive<usize>) -> Result<String, Error> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Error::field(field, "must not hold control characters"));
    }
    bounded(field, text.trim(), length)
}

fn bounded(field: &'static str, text: &str, length: RangeInclusive<usize>) -> Result<String, Error> {
    if text.is_empty() && *length.start() > 0 {
        return Err(Error::field(field, "is required"));
    }
    if !length.contains(&text.chars().count()) {
        return Err(Error::field(field, format!("must be at most {} characters", length.end())));
    }
    Ok(text.to_owned())
}

/// Reads a number of which 0 stands for the default.
pub(crate) fn number(field: &'static str, value: u32, default: u32, range: RangeInclusive<u32>) -> Result<u32, Error> {
    match value {
        0 => Ok(default),
        value if range.contains(&value) => Ok(value),
        _ => Err(Error::field(field, format!("must be {} to {}", range.start(), range.end()))),
    }
}
