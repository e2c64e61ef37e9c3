//! What a setting may be.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::time::Duration;

/// A type that a setting may have.
pub trait Value: Sized {
    /// Reads it; the error follows the quoted text, e.g. "is not a duration".
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it so that [`Value::parse`] reads the same value back.
    fn render(&self) -> String;
}

macro_rules! plain_values {
    ($($type:ty = $what:literal),* $(,)?) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| concat!("is not ", $what).to_owned())
            }

            fn render(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

plain_values! {
    u16 = "a whole number from 0 to 65535",
    u32 = "a whole number",
    u64 = "a whole number",
    usize = "a whole number",
    f32 = "a number",
    f64 = "a number",
    SocketAddr = "an address of the form host:port with a numeric host",
    action::Tier = "a tier",
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn render(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn render(&self) -> String {
        self.display().to_string()
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is not true or false".to_owned()),
        }
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// The address of a service, `http://host:port`.
impl Value for http::Uri {
    fn parse(text: &str) -> Result<Self, String> {
        let uri: Self = text.trim().parse().map_err(|_| "is not a URL".to_owned())?;
        if uri.scheme().is_some() && uri.authority().is_some() {
            Ok(uri)
        } else {
            Err("is not a URL of the form http://host:port".to_owned())
        }
    }

    fn render(&self) -> String {
        self.to_string().trim_end_matches('/').to_owned()
    }
}

/// A plain number is seconds; otherwise a number with `ms`, `s`, `m`, `h` or `d`.
impl Value for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is not a duration such as 300, 10s, 500ms or 5m".to_owned();
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "ms" => number / 1000.0,
            "" | "s" => number,
            "m" => number * 60.0,
            "h" => number * 3600.0,
            "d" => number * 86400.0,
            _ => return Err(wrong()),
        };
        Self::try_from_secs_f64(seconds).map_err(|_| wrong())
    }

    fn render(&self) -> String {
        let ms = self.as_millis();
        if ms.is_multiple_of(1000) { (ms / 1000).to_string() } else { format!("{ms}ms") }
    }
}

/// Several values, separated by commas; in the file also an array.
impl<T: Value> Value for Vec<T> {
    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }

    fn render(&self) -> String {
        self.iter().map(Value::render).collect::<Vec<_>>().join(",")
    }
}

/// Says in words why a value outside a range is refused.
pub(super) fn describe<T: Value>(range: &impl RangeBounds<T>) -> String {
    let mut text = String::from("must be");
    let mut add = |words: &str, value: &T| {
        let joint = if text.ends_with("be") { "" } else { " and" };
        let _ = write!(text, "{joint} {words} {}", value.render());
    };
    match range.start_bound() {
        Bound::Included(low) => add("at least", low),
        Bound::Excluded(low) => add("more than", low),
        Bound::Unbounded => {}
    }
    match range.end_bound() {
        Bound::Included(high) => add("at most", high),
        Bound::Excluded(high) => add("less than", high),
        Bound::Unbounded => {}
    }
    text
}
