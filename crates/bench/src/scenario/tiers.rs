//! Tiers: every tier has more than enough to do; who gets how much of the worker?

use anyhow::Result;
use serde_json::json;

use super::{Case, Size, Who};
use crate::compare::Bench;
use crate::figures::Figures;
use crate::peer::Peer;

/// Names of the tiers, and what they shall have.
const SHARES: [(&str, f64); 4] = [("enterprise", 8.0), ("professional", 4.0), ("advance", 2.0), ("free", 1.0)];

pub(super) fn cases(size: Size) -> Vec<Case> {
    let jobs = size.pick(2_000, 10_000);
    let weighted = Case {
        label: "tiers.weighted",
        what: "tiers, all of them with work: shares of 8 : 4 : 2 : 1",
        scenario: "tiers",
        numbers: json!({ "jobs": jobs, "concurrency": 64, "mode": "weighted" }),
        who: Who::Ours,
        every_round: false,
        run,
    };
    vec![weighted]
}

fn run(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    let mut process = bench.start(peer, case, &json!({}))?;
    let (end, _) = process.measure(&bench.server)?;
    process.finish()?;
    let whole: f64 = SHARES.iter().map(|(_, weight)| weight).sum();
    let mut figures = Figures::new();
    let mut worst: f64 = 0.0;
    for (tier, weight) in SHARES {
        let share = end.figures.get(tier).copied().unwrap_or_default();
        worst = worst.max((share / (weight / whole) - 1.0).abs() * 100.0);
        figures.insert(format!("share_{tier}_percent"), share * 100.0);
    }
    figures.insert("worst_error_percent".to_owned(), worst);
    Ok(figures)
}
