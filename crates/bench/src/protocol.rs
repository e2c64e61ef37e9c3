//! What a measured process says on its standard output, line by line.
//!
//! It prints `{"phase": "ready", …}` and waits for a line that begins with `go`. Then it works, prints
//! `{"phase": "end", "jobs": …, "seconds": …, …}` and goes on to its next `ready`, or ends. Whatever else a library prints
//! is left alone.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One line of a measured process.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// It waits for `go`.
    Ready(Ready),
    /// It has done its work.
    End(Box<End>),
    /// A job started (`s`) or was done (`d`); only in the scenario that kills.
    Job {
        /// Whether it is done; else it started.
        done: bool,
        /// Number of the job.
        number: usize,
    },
    /// Something that a library printed.
    Noise(String),
}

/// A process is ready.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ready {
    /// The settings that it chose, in words.
    pub settings: String,
    /// Versions of what it uses, in words.
    pub version: String,
}

/// A process has done its work.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct End {
    /// Jobs that were done.
    pub jobs: u64,
    /// How long it took.
    pub seconds: f64,
    /// How long each job waited in microseconds, by number; none when it had not started at the end.
    pub waits_us: Vec<Option<f64>>,
    /// Further numbers by name.
    pub figures: BTreeMap<String, f64>,
}

/// A line is not what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine(String);

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a line of the protocol: {}", self.0)
    }
}

impl std::error::Error for BadLine {}

/// Reads one line. An object that names a phase is a line of the protocol and must be a whole one.
pub fn parse(line: &str) -> Result<Line, BadLine> {
    let line = line.trim();
    let bad = || BadLine(line.chars().take(200).collect());
    if let Some((mark @ ("s" | "d"), number)) = line.split_once(' ')
        && let Ok(number) = number.parse()
    {
        return Ok(Line::Job { done: mark == "d", number });
    }
    if !line.starts_with('{') || !line.contains("\"phase\"") {
        return Ok(Line::Noise(line.to_owned()));
    }
    let value: serde_json::Value = serde_json::from_str(line).map_err(|_| bad())?;
    match value["phase"].as_str() {
        Some("ready") => serde_json::from_value(value).map(Line::Ready).map_err(|_| bad()),
        Some("end") => {
            let end: End = serde_json::from_value(value).map_err(|_| bad())?;
            let possible = end.seconds.is_finite() && end.seconds >= 0.0;
            if possible { Ok(Line::End(Box::new(end))) } else { Err(bad()) }
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_protocol_are_read() {
        let Ok(Line::Ready(ready)) = parse(r#"{"phase": "ready", "settings": "concurrency 8", "version": "1.2"}"#)
        else {
            panic!("not ready");
        };
        assert_eq!((ready.settings.as_str(), ready.version.as_str()), ("concurrency 8", "1.2"));
        let Ok(Line::End(end)) = parse(r#"{"phase":"end","jobs":3,"seconds":0.5,"waits_us":[1,null,2.5]}"#) else {
            panic!("no end");
        };
        assert_eq!((end.jobs, end.waits_us), (3, vec![Some(1.0), None, Some(2.5)]));
        assert_eq!(parse("s 17"), Ok(Line::Job { done: false, number: 17 }));
        assert_eq!(parse("d 0"), Ok(Line::Job { done: true, number: 0 }));
    }

    #[test]
    fn what_libraries_print_is_noise() {
        for line in ["", "12:00 worker started", "{'a': 1}", "s", "s many", "{\"level\": \"info\"}", "d -1"] {
            assert_eq!(parse(line), Ok(Line::Noise(line.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_broken_line_of_the_protocol_is_refused() {
        for line in [
            r#"{"phase": "end", "jobs": "#,
            r#"{"phase": "end", "jobs": -3, "seconds": 1}"#,
            r#"{"phase": "end", "jobs": "many"}"#,
            r#"{"phase": "end", "jobs": 1, "seconds": -1}"#,
            r#"{"phase": "middle"}"#,
            r#"{"phase": 7}"#,
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
