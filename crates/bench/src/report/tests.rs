use std::collections::BTreeMap;

use super::*;
use crate::figures::Spread;
use crate::machine::Machine;

fn measured(idle: f64) -> Measured {
    let mut measured = Measured {
        machine: Machine { cores: 2, idle, load: 0.1, processor: "P".to_owned(), kernel: "K".to_owned() },
        redis: json!({ "version": "redis-server 7.0.15", "persistence": "none", "transport": "loopback TCP" }),
        cases: crate::scenario::all(Size::Quick),
        results: BTreeMap::new(),
        about: BTreeMap::new(),
        size: Size::Quick,
        rounds: 3,
    };
    let mut add = |label: &'static str, peer: &'static str, figure: &str, values: &[f64]| {
        let mut spread = Spread::default();
        for &value in values {
            spread.add(value);
        }
        let row = measured.results.entry(label).or_default().entry(peer).or_default();
        row.insert(figure.to_owned(), spread);
    };
    add("end_to_end", "ours", "per_s", &[50_000.0, 60_000.0, 40_000.0]);
    add("end_to_end", "bullmq", "per_s", &[10_000.0, 10_000.0, 9_000.0]);
    add("drain.c128", "ours", "redis_cpu_us", &[17.0]);
    add("enqueue.single", "ours", "redis_cpu_us", &[6.0]);
    measured
}

#[test]
fn the_json_has_the_keys_that_programs_read() {
    let report = Report::new(&measured(1.0), false);
    assert_eq!(report.json["ours"]["redis_cpu_us"]["enqueue"], 6.0);
    assert_eq!(report.json["ours"]["redis_cpu_us"]["claim_settle"], 17.0);
    assert_eq!(report.json["ours"]["end_to_end_per_s"], 50_000.0);
    assert_eq!(report.json["ratios"]["end_to_end_vs_bullmq"], 5.0);
    assert_eq!(report.json["results"]["end_to_end"]["ours"]["per_s"]["max"], 60_000.0);
    assert_eq!(report.json["must_reach"][0]["reached"], true);
}

#[test]
fn a_missed_bound_is_named() {
    let report = Report::new(&measured(1.0), false);
    let missed: Vec<&str> = report.missed().iter().map(|row| row.what).collect();
    assert_eq!(missed, ["Redis CPU, claim and settle, µs a job"]);
    assert!(report.markdown.contains("**missed**"));
}

#[test]
fn a_busy_machine_gives_figures_without_ratios_unless_forced() {
    let report = Report::new(&measured(0.3), false);
    assert!(!report.ratios && report.json["ratios"].as_object().is_some_and(Map::is_empty));
    assert_eq!(report.json["must_reach"][0]["value"], Value::Null);
    assert_eq!(report.json["ours"]["end_to_end_per_s"], 50_000.0);
    assert!(report.markdown.contains("busy") && !report.markdown.contains("5.0×"));
    let forced = Report::new(&measured(0.3), true);
    assert_eq!(forced.json["ratios"]["end_to_end_vs_bullmq"], 5.0);
}

#[test]
fn the_chart_has_a_bar_for_everybody() {
    let svg = Report::new(&measured(1.0), false).svg;
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("Nooble") && svg.contains("BullMQ") && svg.matches("<rect").count() >= 3);
}
