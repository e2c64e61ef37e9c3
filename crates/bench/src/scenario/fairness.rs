//! Fairness: fifty quiet tenants send four jobs a second each; alone, and beside one that has dumped 50,000.

use anyhow::Result;
use serde_json::json;

use super::pickup::{paced, percentiles};
use super::{Case, Size, Who};
use crate::Samples;
use crate::compare::Bench;
use crate::figures::{Figures, jain};
use crate::peer::Peer;

/// Tenants that send little.
const QUIET: usize = 50;
/// Jobs a second of all of them together.
const RATE: u64 = 200;
/// Jobs that the noisy tenant has waiting at the start.
const NOISY: u64 = 50_000;

pub(super) fn cases(size: Size) -> Vec<Case> {
    let seconds = size.pick(4, 8);
    let numbers = |noisy: u64| {
        json!({
            "jobs": RATE * seconds, "period_ns": 1_000_000_000 / RATE, "quiet": QUIET, "noisy": noisy,
            "handler_ms": 1, "concurrency": 4,
        })
    };
    let alone = Case {
        label: "fairness.alone",
        what: "fairness: 50 quiet tenants alone",
        scenario: "fairness",
        numbers: numbers(0),
        who: Who::Main,
        every_round: true,
        run,
    };
    let beside = Case {
        label: "fairness.beside",
        what: "fairness: 50 quiet tenants beside one with 50,000 jobs waiting",
        numbers: numbers(NOISY),
        ..alone.clone()
    };
    let by_queue = Case {
        label: "fairness.by_queue",
        what: "fairness: the same with a queue and a worker a tenant",
        scenario: "fairness_by_queue",
        every_round: false,
        ..beside.clone()
    };
    size.pick(vec![], vec![alone, beside, by_queue])
}

fn run(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    let mut process = bench.start(peer, case, &json!({}))?;
    let (end, _) = paced(&mut process, bench, case)?;
    process.finish()?;
    let mut waits = Samples::default();
    let mut of_tenant = vec![(0.0, 0.0); QUIET];
    for (number, wait) in end.waits_us.iter().enumerate() {
        // Who has not started by the end has waited at least until then.
        #[expect(clippy::cast_precision_loss, reason = "a few seconds in microseconds")]
        let so_far = || end.seconds * 1e6 - (number as u64 * case.number("period_ns")) as f64 / 1e3;
        let ms = wait.unwrap_or_else(so_far).max(0.0) / 1e3;
        waits.add(ms);
        let tenant = &mut of_tenant[quiet_tenant(number)];
        *tenant = (tenant.0 + ms, tenant.1 + 1.0);
    }
    let means: Vec<f64> = of_tenant.iter().map(|(sum, count)| sum / f64::max(*count, 1.0)).collect();
    let mut figures = percentiles(&waits);
    figures.insert("jain".to_owned(), jain(&means));
    #[expect(clippy::cast_precision_loss, reason = "jobs are few")]
    figures.insert("never_started".to_owned(), end.waits_us.iter().filter(|wait| wait.is_none()).count() as f64);
    figures.extend(end.figures);
    Ok(figures)
}

/// Returns the quiet tenant that a job belongs to, from 0; processes choose the same way.
fn quiet_tenant(number: usize) -> usize {
    number * 7 % QUIET
}
