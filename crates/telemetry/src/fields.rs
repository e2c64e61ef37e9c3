//! Fields of a span or a line of the log, written once as JSON has them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Serialize;
use tracing::field::{Field, Visit};

/// About as many bytes as the fields of a request take, and as many fields.
const BYTES: usize = 512;
const NUMBER: usize = 16;

/// Fields in the order in which they were set, written once as they stand in a line, `"name":value,`, and copied from there.
pub(crate) struct Fields {
    text: Vec<u8>,
    known: Vec<(&'static str, Range<usize>)>,
    /// Whether the text holds nothing but what is known.
    whole: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self { text: Vec::with_capacity(BYTES), known: Vec::with_capacity(NUMBER), whole: true }
    }
}

impl Fields {
    pub(crate) fn set(&mut self, name: &'static str, value: impl Serialize) {
        let start = self.begin(name);
        if serde_json::to_writer(&mut self.text, &value).is_err() {
            self.text.truncate(start);
            return;
        }
        self.end(name, start);
    }

    /// Sets a text in which nothing has to be escaped.
    pub(crate) fn set_plain(&mut self, name: &'static str, value: &str) {
        let start = self.begin(name);
        self.text.push(b'"');
        self.text.extend_from_slice(value.as_bytes());
        self.text.push(b'"');
        self.end(name, start);
    }

    fn begin(&mut self, name: &'static str) -> usize {
        let start = self.text.len();
        self.text.push(b'"');
        // Names of fields are words of ours; none has anything to escape.
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        start
    }

    fn end(&mut self, name: &'static str, start: usize) {
        self.text.push(b',');
        let place = start..self.text.len();
        match self.known.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => {
                *old = place;
                self.whole = false;
            }
            None => self.known.push((name, place)),
        }
    }

    pub(crate) fn add_missing(&mut self, outer: &Self) {
        for (name, place) in &outer.known {
            if !self.known.iter().any(|(known, _)| known == name) {
                let start = self.text.len();
                self.text.extend_from_slice(&outer.text[place.clone()]);
                self.known.push((name, start..self.text.len()));
            }
        }
    }

    pub(crate) fn render(self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.text.len() + 2);
        line.push(b'{');
        if self.whole {
            line.extend_from_slice(&self.text);
        } else {
            for (_, place) in &self.known {
                line.extend_from_slice(&self.text[place.clone()]);
            }
        }
        // Instead of the last comma; a line has a time at least.
        line.pop();
        line.extend_from_slice(b"}\n");
        line
    }

    /// Returns names and values, as JSON has them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        self.known.iter().map(|(name, place)| {
            // Between `"name":` and the comma.
            let value = &self.text[place.start + name.len() + 3..place.end - 1];
            (*name, String::from_utf8_lossy(value))
        })
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format_args!("{value:?}"));
    }
}
