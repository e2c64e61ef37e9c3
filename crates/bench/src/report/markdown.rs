//! The report for people.

use std::fmt::Write as _;

use crate::compare::Measured;
use crate::peer::{self, Peer};
use crate::scenario::Case;
use crate::verdict::Row;

/// Figures that a table shows, with heading and decimals.
const COLUMNS: &[(&str, &str, usize)] = &[
    ("per_s", "jobs/s", 0),
    ("p50_ms", "p50 ms", 2),
    ("p99_ms", "p99 ms", 2),
    ("p999_ms", "p99.9 ms", 2),
    ("redis_cpu_us", "Redis CPU µs/job", 1),
    ("client_cpu_us", "client CPU µs/job", 1),
    ("redis_commands", "Redis commands/job", 1),
];

/// Figures that are told in the columns, not in words.
fn is_column(name: &str) -> bool {
    COLUMNS.iter().any(|(column, ..)| *column == name)
}

pub(super) fn render(measured: &Measured, rows: &[Row], ratios: bool) -> String {
    let mut text = String::from("# Queue benchmark\n\n");
    head(&mut text, measured, ratios);
    must_reach(&mut text, rows, ratios);
    for case in &measured.cases {
        table(&mut text, measured, case, ratios);
    }
    about(&mut text, measured);
    text
}

fn head(text: &mut String, measured: &Measured, ratios: bool) {
    let machine = &measured.machine;
    let word = |name: &str| measured.redis[name].as_str().unwrap_or_default().to_owned();
    let _ = writeln!(
        text,
        "{} cores of {}, Linux {}; {:.0} % idle and load {:.2} before the start. {} over {}, persistence {}. Medians of {} \
         rounds{}, everybody in turn; the spread behind a figure is its least and greatest run.\n",
        machine.cores,
        machine.processor,
        machine.kernel,
        machine.idle * 100.0,
        machine.load,
        word("version"),
        word("transport"),
        word("persistence"),
        measured.rounds,
        if measured.size == crate::scenario::Size::Quick { " (quick: a first look, not to be published)" } else { "" },
    );
    if machine.is_busy() {
        let _ = writeln!(
            text,
            "**The machine was busy.** {}\n",
            if ratios { "Ratios are shown because that was forced." } else { "Figures are shown without ratios." }
        );
    }
}

fn must_reach(text: &mut String, rows: &[Row], ratios: bool) {
    text.push_str("## Must reach\n\n| figure | bound | measured | |\n|---|--:|--:|---|\n");
    for row in rows {
        let value = row.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        let word = match row.reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None if row.compares && !ratios => "not judged: the machine was busy",
            None => "not measured",
        };
        let _ = writeln!(text, "| {} | {} | {value} | {word} |", row.what, row.bound.text());
    }
    text.push('\n');
}

fn table(text: &mut String, measured: &Measured, case: &Case, ratios: bool) {
    let Some(results) = measured.results.get(case.label) else { return };
    let columns: Vec<_> =
        COLUMNS.iter().filter(|(name, ..)| results.values().any(|figures| figures.contains_key(*name))).collect();
    let _ = writeln!(text, "## {}\n", capital(case.what));
    let compared = columns.first().filter(|_| ratios && results.len() > 1 && results.contains_key("ours"));
    text.push_str("| |");
    for (_, heading, _) in &columns {
        let _ = write!(text, " {heading} |");
    }
    text.push_str(if compared.is_some() { " ours is better by | |\n|---|" } else { " |\n|---|" });
    text.push_str(&"--:|".repeat(columns.len()));
    text.push_str(if compared.is_some() { "--:|---|\n" } else { "---|\n" });
    for peer in peer::ALL.iter().filter(|peer| results.contains_key(peer.name)) {
        row(text, measured, (case, peer), &columns, compared.copied());
    }
    text.push('\n');
}

fn row(
    text: &mut String,
    measured: &Measured,
    (case, peer): (&Case, &Peer),
    columns: &[&(&str, &str, usize)],
    compared: Option<&(&str, &str, usize)>,
) {
    let figures = &measured.results[case.label][peer.name];
    let _ = write!(text, "| {} |", peer.title);
    for (name, _, decimals) in columns {
        let Some(spread) = figures.get(*name) else {
            text.push_str(" – |");
            continue;
        };
        let shown = spread.median().map_or_else(|| "–".to_owned(), |median| number(median, *decimals));
        let (least, greatest) = spread.range().unwrap_or_default();
        let range = if spread.count() > 1 {
            format!(" ({}–{})", number(least, *decimals), number(greatest, *decimals))
        } else {
            String::new()
        };
        let _ = write!(text, " {shown}{range} |");
    }
    if let Some((figure, ..)) = compared {
        let order = if *figure == "per_s" { ("ours", peer.name) } else { (peer.name, "ours") };
        let ratio = measured.ratio(case.label, figure, order).filter(|_| !peer.is_ours());
        let _ = write!(text, " {} |", ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}×")));
    }
    let others: Vec<String> = figures
        .iter()
        .filter(|(name, _)| !is_column(name))
        .filter_map(|(name, spread)| Some(format!("{} {}", name.replace('_', " "), short(spread.median()?))))
        .collect();
    let _ = writeln!(text, " {} |", others.join(", "));
}

fn about(text: &mut String, measured: &Measured) {
    text.push_str("## Who was measured\n\n");
    for peer in peer::ALL {
        let Some(about) = measured.about.get(peer.name) else { continue };
        if !about.skipped.is_empty() {
            let _ = writeln!(text, "* {}: left out, {}", peer.title, about.skipped);
            continue;
        }
        let _ = writeln!(text, "* {} ({})", peer.title, about.version);
        for (label, settings) in &about.settings {
            let _ = writeln!(text, "  * `{label}`: {settings}");
        }
        for (label, failure) in &about.failures {
            let _ = writeln!(text, "  * `{label}` failed: {failure}");
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Writes a number with so many decimals and its thousands apart.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn short(value: f64) -> String {
    number(value, if value.abs() < 10.0 && value.fract() != 0.0 { 3 } else { usize::from(value.fract() != 0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(999.5, 1), "999.5");
        assert_eq!(number(0.123, 2), "0.12");
        assert_eq!(number(-1234.0, 0), "-1,234");
        assert_eq!(short(0.976_54), "0.977");
        assert_eq!(short(12.0), "12");
    }
}
