//! What came out, as JSON, as Markdown and as a chart.

mod chart;
mod markdown;

use serde_json::{Map, Value, json};

use crate::compare::Measured;
use crate::peer;
use crate::scenario::Size;
use crate::verdict::{self, Row};

/// A finished report.
#[derive(Debug)]
pub struct Report {
    /// Everything, for programs.
    pub json: Value,
    /// The same for people.
    pub markdown: String,
    /// Throughput of everybody as a picture.
    pub svg: String,
    /// What must be reached.
    pub rows: Vec<Row>,
    /// Whether runs were compared with each other.
    pub ratios: bool,
}

impl Report {
    /// Makes the report. On a busy machine runs are compared only when that is forced.
    pub fn new(measured: &Measured, force: bool) -> Self {
        let ratios = force || !measured.machine.is_busy();
        let rows = verdict::judge(measured, ratios);
        let json = json(measured, &rows, ratios);
        let markdown = markdown::render(measured, &rows, ratios);
        Self { json, markdown, svg: chart::render(measured), rows, ratios }
    }

    /// Returns the rows that are measured and missed.
    pub fn missed(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.reached() == Some(false)).collect()
    }
}

/// Comparisons by name: the case, the figure, and whether ours goes on top; larger is better for us in all of them.
const RATIOS: &[(&str, &str, &str, bool)] = &[
    ("end_to_end", "end_to_end", "per_s", true),
    ("drain", "drain.c128", "per_s", true),
    ("enqueue", "enqueue.single", "per_s", true),
    ("enqueue_batch", "enqueue.batch", "per_s", true),
    ("pickup_p50", "pickup.1000", "p50_ms", false),
    ("drain_redis_cpu", "drain.c128", "redis_cpu_us", false),
];

fn json(measured: &Measured, rows: &[Row], ratios: bool) -> Value {
    let ours = |label: &str, figure: &str| measured.median(label, "ours", figure);
    let results: Map<String, Value> = measured
        .results
        .iter()
        .map(|(label, peers)| {
            let peers: Map<String, Value> = peers
                .iter()
                .map(|(peer, figures)| {
                    let figures: Map<String, Value> =
                        figures.iter().map(|(name, spread)| (name.clone(), spread.json())).collect();
                    ((*peer).to_owned(), Value::Object(figures))
                })
                .collect();
            ((*label).to_owned(), Value::Object(peers))
        })
        .collect();
    let about: Map<String, Value> = measured.about.iter().map(|(name, about)| {
        let about = json!({
            "version": about.version, "settings": about.settings, "skipped": about.skipped, "failures": about.failures,
        });
        ((*name).to_owned(), about)
    }).collect();
    json!({
        "bench": "queue",
        "version": env!("CARGO_PKG_VERSION"),
        "quick": measured.size == Size::Quick,
        "rounds": measured.rounds,
        "machine": measured.machine.json(),
        "redis": measured.redis,
        "peers": about,
        "results": results,
        "ours": {
            "redis_cpu_us": {
                "enqueue": ours("enqueue.single", "redis_cpu_us"),
                "enqueue_batch": ours("enqueue.batch", "redis_cpu_us"),
                "claim_settle": ours("drain.c128", "redis_cpu_us"),
                "end_to_end": ours("end_to_end", "redis_cpu_us"),
            },
            "enqueue_per_s": ours("enqueue.single", "per_s"),
            "drain_per_s": ours("drain.c128", "per_s"),
            "end_to_end_per_s": ours("end_to_end", "per_s"),
            "pickup_ms": { "p50": ours("pickup.1000", "p50_ms"), "p99": ours("pickup.1000", "p99_ms") },
            "memory_bytes": ours("scale.1000", "memory_bytes"),
        },
        "ratios": if ratios { all_ratios(measured) } else { json!({}) },
        "must_reach": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}

fn all_ratios(measured: &Measured) -> Value {
    let mut all = Map::new();
    for peer in peer::ALL.iter().filter(|peer| !peer.is_ours()) {
        for &(name, label, figure, ours_on_top) in RATIOS {
            let order = if ours_on_top { ("ours", peer.name) } else { (peer.name, "ours") };
            if let Some(ratio) = measured.ratio(label, figure, order) {
                all.insert(format!("{name}_vs_{}", peer.name), json!(ratio));
            }
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests;
