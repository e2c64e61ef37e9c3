//! Times by name, and how they are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Longest time that is told apart, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// Times of one kind.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
}

impl Default for Samples {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are valid");
        Self { histogram }
    }
}

impl Samples {
    /// Adds a time, in milliseconds.
    pub fn add(&mut self, ms: f64) {
        // The cast saturates, and so does the histogram.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; too long is longest"
        )]
        let us = (ms.max(0.0) * 1_000.0).round() as u64;
        self.histogram.saturating_record(us.max(1));
    }

    /// Adds the times of others.
    pub fn join(&mut self, others: &Self) {
        // Both have the same bounds, so none is too long.
        let _never = self.histogram.add(&others.histogram);
    }

    /// Returns a percentile, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "the bound is far below 2^52")]
    pub fn percentile(&self, percentile: f64) -> f64 {
        self.histogram.value_at_percentile(percentile) as f64 / 1_000.0
    }

    /// Returns how many times were added.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }
}

/// Times by name, in the order in which the names came up.
#[derive(Clone, Debug, Default)]
pub struct Table {
    order: Vec<String>,
    rows: BTreeMap<String, Samples>,
}

impl Table {
    /// Adds a time to a row, in milliseconds.
    pub fn add(&mut self, row: &str, ms: f64) {
        if !self.rows.contains_key(row) {
            self.order.push(row.to_owned());
        }
        self.rows.entry(row.to_owned()).or_default().add(ms);
    }

    /// Returns the samples of a row.
    pub fn row(&self, row: &str) -> Option<&Samples> {
        self.rows.get(row)
    }

    /// Renders a Markdown table of p50, p90 and p99 in milliseconds.
    pub fn markdown(&self) -> String {
        let width = self.order.iter().map(String::len).max().unwrap_or(4).max(4);
        let mut text = format!("| {:<width$} |    p50 |    p90 |    p99 |     n |\n", "what");
        let _ = writeln!(text, "|{:-<1$}|-------:|-------:|-------:|------:|", "", width + 2);
        for name in &self.order {
            let samples = &self.rows[name];
            let (p50, p90, p99) = (samples.percentile(50.0), samples.percentile(90.0), samples.percentile(99.0));
            let _ =
                writeln!(text, "| {name:<width$} | {p50:>6.2} | {p90:>6.2} | {p99:>6.2} | {:>5} |", samples.count());
        }
        text
    }

    /// Renders the same as JSON, by name.
    pub fn json(&self) -> Value {
        let rows = self.order.iter().map(|name| {
            let samples = &self.rows[name];
            let row = json!({
                "p50_ms": samples.percentile(50.0), "p90_ms": samples.percentile(90.0),
                "p99_ms": samples.percentile(99.0), "n": samples.count(),
            });
            (name.clone(), row)
        });
        Value::Object(rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let mut table = Table::default();
        (1..=100).for_each(|ms| table.add("hop", f64::from(ms)));
        let samples = table.row("hop").expect("the row was filled");
        assert_eq!(samples.count(), 100);
        assert!((samples.percentile(50.0) - 50.0).abs() < 0.1 && (samples.percentile(99.0) - 99.0).abs() < 0.2);
        assert_eq!(table.json()["hop"]["n"], 100);
        assert!(table.markdown().contains("| hop"));
    }
}
