//! Pickup: jobs come at fixed moments to a worker that has nothing else to do; how long until its handler starts?
//!
//! The loop is open: the harness releases each job at its moment, whether earlier ones are done or not, and the wait counts
//! from that moment, so that a process that falls behind cannot hide it.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Case, Size, Who};
use crate::Samples;
use crate::compare::Bench;
use crate::figures::Figures;
use crate::machine::monotonic_ns;
use crate::peer::{Marks, Peer, Process};
use crate::protocol::End;

/// Between `go` and the first job.
const HEAD_START_NS: u64 = 200_000_000;
/// Share of the jobs at the beginning that only warm up.
const WARM_UP: usize = 10;
/// Sleeping ends this much too late at most, usually; the rest is waited awake, where there is time for it.
const AWAKE: Duration = Duration::from_micros(80);

pub(super) fn cases(size: Size) -> Vec<Case> {
    let seconds = size.pick(3, 4);
    let case = |label, what, rate: u64, who| Case {
        label,
        what,
        scenario: "pickup",
        numbers: json!({ "jobs": rate * seconds, "period_ns": 1_000_000_000 / rate, "concurrency": 128 }),
        who,
        every_round: true,
        run,
    };
    let middle = case("pickup.1000", "pickup latency at 1,000 a second", 1_000, Who::All);
    let low = case("pickup.200", "pickup latency at 200 a second", 200, Who::Main);
    let high = case("pickup.5000", "pickup latency at 5,000 a second", 5_000, Who::Main);
    size.pick(vec![middle.clone()], vec![low, middle, high])
}

fn run(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    let mut process = bench.start(peer, case, &json!({}))?;
    let (end, marks) = paced(&mut process, bench, case)?;
    process.finish()?;
    let mut waits = Samples::default();
    let counted = &end.waits_us[end.waits_us.len() / WARM_UP..];
    counted.iter().flatten().for_each(|us| waits.add(us / 1_000.0));
    #[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^52")]
    let never = counted.iter().filter(|wait| wait.is_none()).count() as f64;
    let mut figures = percentiles(&waits);
    #[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^52")]
    let jobs = end.jobs.max(1) as f64;
    figures.insert("never_started".to_owned(), never);
    figures.insert("redis_cpu_us".to_owned(), marks.redis.cpu_us / jobs);
    figures.insert("client_cpu_us".to_owned(), marks.client_seconds * 1e6 / jobs);
    Ok(figures)
}

/// Returns the percentiles that tables show.
pub(super) fn percentiles(waits: &Samples) -> Figures {
    [("p50_ms", 50.0), ("p99_ms", 99.0), ("p999_ms", 99.9)]
        .into_iter()
        .map(|(name, percentile)| (name.to_owned(), waits.percentile(percentile)))
        .collect()
}

/// Lets a process go and releases its jobs, each at its moment.
pub(super) fn paced(process: &mut Process, bench: &Bench, case: &Case) -> Result<(End, Marks)> {
    let (jobs, period) = (case.number("jobs"), case.number("period_ns"));
    let first = monotonic_ns() + HEAD_START_NS;
    process.measure_while(&bench.server, &format!("go {first}"), |process| release(process, first, period, jobs))
}

fn release(process: &mut Process, first: u64, period: u64, jobs: u64) -> Result<()> {
    // Waiting awake takes time from those who are measured; with little time between jobs it is left out.
    let awake = if period >= 500_000 { AWAKE } else { Duration::ZERO };
    let mut released = 0;
    while released < jobs {
        let due = first + released * period;
        let now = monotonic_ns();
        if now < due {
            let left = Duration::from_nanos(due - now);
            if left > awake {
                std::thread::sleep(left.saturating_sub(awake));
            } else {
                std::hint::spin_loop();
            }
            continue;
        }
        let late = (now - due) / period;
        let count = (1 + late).min(jobs - released);
        process.send(&vec![b'.'; usize::try_from(count)?])?;
        released += count;
    }
    Ok(())
}
