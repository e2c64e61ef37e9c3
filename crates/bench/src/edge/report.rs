//! What came out, judged, for programs and for people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::case;
use super::results::Results;
use crate::machine::Machine;
use crate::verdict::{Bound, Row};

/// A finished report.
#[derive(Debug)]
pub(crate) struct Report {
    /// Everything, for programs.
    pub(crate) json: Value,
    /// The same for people.
    pub(crate) markdown: String,
    /// What must be reached.
    pub(crate) rows: Vec<Row>,
    /// Whether runs were compared with each other.
    pub(crate) ratios: bool,
}

impl Report {
    /// Makes the report; without `ratios` nothing is said that compares runs.
    pub(crate) fn new(results: &Results, machine: &Machine, rounds: usize, quick: bool, ratios: bool) -> Self {
        let rows = judge(results, ratios);
        let json = json!({
            "bench": "edge",
            "version": env!("CARGO_PKG_VERSION"),
            "quick": quick,
            "rounds": rounds,
            "machine": machine.json(),
            "results": results.json(),
            "must_reach": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        let markdown = render(results, machine, &rows, rounds, quick);
        Self { json, markdown, rows, ratios }
    }

    /// Returns what is measured and missed.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|row| row.reached() == Some(false)).map(|row| row.what).collect()
    }
}

/// Judges the figures that must be reached.
fn judge(results: &Results, ratios: bool) -> Vec<Row> {
    use Bound::{AtLeast, AtMost};
    let of = |case: &str, who: &str, figure: &str| results.median(case, who, figure);
    let exact = |what, value, bound| Row { what, value, bound, compares: false };
    let comparing =
        |what, value: Option<f64>, bound| Row { what, value: value.filter(|_| ratios), bound, compares: true };
    let limiter = |figure| of("limiter", "4 processes", figure);
    let pushing = || {
        let own = of("push", "gateway", "cpu_us")? - of("push", "gRPC hop", "cpu_us")?;
        Some(own / of("push", "axum", "cpu_us").filter(|bare| *bare > 0.0)?)
    };
    let unresumed = || Some(of("crash", "gateway", "streams")? - of("crash", "gateway", "resumed")?);
    vec![
        comparing(
            "full policy path, CPU a request: gateway and callee / axum → tonic and callee",
            results.ratio("chat", "path_cpu_us", "gateway", "hop"),
            AtMost(2.0),
        ),
        comparing(
            "refused (429), rate / that of an axum echo",
            results.ratio("refused", "per_s", "gateway", "echo"),
            AtLeast(0.7),
        ),
        exact("refused (429), Redis commands a request", of("refused", "gateway", "redis_commands"), AtMost(0.0)),
        exact("limiter, requests over a limit", limiter("over"), AtMost(0.0)),
        exact("limiter, requests under a limit", limiter("under"), AtMost(0.0)),
        exact("limiter, tenants whose day differs from what was allowed", limiter("day_differs"), AtMost(0.0)),
        exact("idle socket, bytes in the gateway", of("idle", "gateway", "memory_bytes"), AtMost(10.0 * 1024.0)),
        comparing("push, CPU a frame without its gRPC hop / bare axum loop", pushing(), AtMost(1.3)),
        exact("kill -9, streams not resumed", unresumed(), AtMost(0.0)),
        exact("kill -9, frames lost", of("crash", "gateway", "lost"), AtMost(0.0)),
        exact("kill -9, frames twice", of("crash", "gateway", "twice"), AtMost(0.0)),
        comparing(
            "tracing at 10 %, CPU a request: gateway / gateway without traces",
            results.ratio("chat", "cpu_us", "gateway", "gateway without traces"),
            AtMost(1.05),
        ),
    ]
}

fn render(results: &Results, machine: &Machine, rows: &[Row], rounds: usize, quick: bool) -> String {
    let mut text = String::from("# Edge benchmark\n\n");
    let _ = writeln!(
        text,
        "{} cores of {}, Linux {}; {:.0} % idle and load {:.2} before the start. Medians of {rounds} rounds{}, everybody in \
         turn; the spread behind a figure is its least and greatest run.{}\n",
        machine.cores,
        machine.processor,
        machine.kernel,
        machine.idle * 100.0,
        machine.load,
        if quick { " (quick: a first look, not to be published)" } else { "" },
        if machine.is_busy() { " **The machine was busy.**" } else { "" },
    );
    text.push_str("## What must be reached\n\n| what | bound | measured | |\n|---|--:|--:|---|\n");
    for row in rows {
        let value = row.value.map_or_else(|| "–".to_owned(), shown);
        let verdict = row.reached().map_or("not measured", |reached| if reached { "" } else { "**missed**" });
        let _ = writeln!(text, "| {} | {} | {value} | {verdict} |", row.what, row.bound.text());
    }
    for (name, of) in results.cases() {
        let about = case::ALL.iter().find(|case| case.shows.contains(&name)).map_or("", |case| case.about);
        let _ = writeln!(text, "\n## {name}\n\n{about}\n");
        for (who, figures) in of {
            let figures = figures.iter().filter_map(|(figure, spread)| {
                let (median, (least, greatest)) = (spread.median()?, spread.range()?);
                let range = if spread.count() > 1 {
                    format!(" ({}–{})", shown(least), shown(greatest))
                } else {
                    String::new()
                };
                Some(format!("{figure} {}{range}", shown(median)))
            });
            let _ = writeln!(text, "* {who}: {}", figures.collect::<Vec<_>>().join(", "));
        }
    }
    text
}

/// Writes a number with as many decimals as say something.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    fn results(rows: &[(&str, &str, &str, f64)]) -> Results {
        let mut results = Results::default();
        for (case, who, figure, value) in rows {
            results.add(case, who, Figures::from([((*figure).to_owned(), *value)]));
        }
        results
    }

    fn row(results: &Results, ratios: bool, beginning: &str) -> Row {
        judge(results, ratios).into_iter().find(|row| row.what.starts_with(beginning)).expect("there is such a row")
    }

    #[test]
    fn the_hop_is_taken_out_of_a_push() {
        let results = results(&[
            ("push", "gateway", "cpu_us", 16.0),
            ("push", "gRPC hop", "cpu_us", 4.0),
            ("push", "axum", "cpu_us", 10.0),
        ]);
        assert_eq!(row(&results, true, "push").value, Some(1.2));
        assert_eq!(row(&results, true, "push").reached(), Some(true));
        assert_eq!(row(&results, false, "push").reached(), None, "runs are not compared");
    }

    #[test]
    fn one_stream_that_did_not_come_back_is_a_miss() {
        let results = results(&[("crash", "gateway", "streams", 2000.0), ("crash", "gateway", "resumed", 1999.0)]);
        assert_eq!(row(&results, false, "kill -9, streams").reached(), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(judge(&Results::default(), true).iter().all(|row| row.reached().is_none()));
    }
}
