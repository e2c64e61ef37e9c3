//! The figures that must be reached, and whether they are.

use serde_json::{Value, json};

use crate::compare::Measured;

/// A figure with its bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub what: &'static str,
    /// What was measured; none when it was not, or must not be judged.
    pub value: Option<f64>,
    /// What must be reached.
    pub bound: Bound,
    /// Whether it compares runs with each other, which a busy machine forbids.
    pub compares: bool,
}

/// On which side of a number a figure must lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Bound {
    /// Tells whether a value keeps it.
    pub fn is_kept(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    /// Writes it as people do.
    pub fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound}"),
            Self::AtMost(bound) => format!("≤ {bound}"),
        }
    }
}

impl Row {
    /// Tells whether the bound is kept; none when nothing was measured.
    pub fn reached(&self) -> Option<bool> {
        self.value.map(|value| self.bound.is_kept(value))
    }

    /// Renders it.
    pub fn json(&self) -> Value {
        json!({ "what": self.what, "value": self.value, "bound": self.bound.text(), "reached": self.reached() })
    }
}

/// Judges what was measured. Without `ratios` nothing is said that compares runs.
pub fn judge(measured: &Measured, ratios: bool) -> Vec<Row> {
    use Bound::{AtLeast, AtMost};
    let ours = |label: &str, figure: &str| measured.median(label, "ours", figure);
    let quotient = |over: Option<f64>, under: Option<f64>| Some(over? / under.filter(|under| *under > 0.0)?);
    let row = |what, value, bound| Row { what, value, bound, compares: false };
    let comparing =
        |what, value: Option<f64>, bound| Row { what, value: value.filter(|_| ratios), bound, compares: true };
    vec![
        comparing("end to end, ours / BullMQ", measured.ratio("end_to_end", "per_s", ("ours", "bullmq")), AtLeast(4.0)),
        row("Redis CPU, claim and settle, µs a job", ours("drain.c128", "redis_cpu_us"), AtMost(16.0)),
        row("Redis CPU, single enqueue, µs a job", ours("enqueue.single", "redis_cpu_us"), AtMost(7.0)),
        comparing(
            "pickup p50 at 1,000 a second, ours / BullMQ",
            measured.ratio("pickup.1000", "p50_ms", ("ours", "bullmq")),
            AtMost(0.5),
        ),
        comparing(
            "quiet tenants' p99 wait, beside a noisy one / alone",
            quotient(ours("fairness.beside", "p99_ms"), ours("fairness.alone", "p99_ms")),
            AtMost(3.0),
        ),
        row("Jain index of the quiet tenants' mean waits", ours("fairness.beside", "jain"), AtLeast(0.95)),
        row("memory of a waiting job, bytes", ours("scale.1000", "memory_bytes"), AtMost(480.0)),
        comparing(
            "Redis CPU a job, 100,000 tenants / 1,000 tenants",
            quotient(ours("scale.100000", "redis_cpu_us"), ours("scale.1000", "redis_cpu_us")),
            AtMost(1.5),
        ),
        row("jobs lost to kill -9", ours("crash", "lost"), AtMost(0.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_kept_on_its_side_and_on_the_line() {
        assert!(Bound::AtLeast(4.0).is_kept(4.0) && Bound::AtLeast(4.0).is_kept(5.0));
        assert!(!Bound::AtLeast(4.0).is_kept(3.99));
        assert!(Bound::AtMost(16.0).is_kept(16.0) && !Bound::AtMost(16.0).is_kept(16.1));
    }

    #[test]
    fn what_was_not_measured_is_neither_reached_nor_missed() {
        let row = Row { what: "x", value: None, bound: Bound::AtMost(1.0), compares: false };
        assert_eq!(row.reached(), None);
        assert_eq!(row.json()["reached"], Value::Null);
    }
}
