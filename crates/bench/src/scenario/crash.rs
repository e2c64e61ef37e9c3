//! Crash: the worker is killed again and again while it works. What is lost, done twice, and how late is the rest?

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::{Case, Size, Who};
use crate::compare::Bench;
use crate::figures::{Figures, percentile};
use crate::peer::{Peer, Process};

/// Between two kills.
const PERIOD: Duration = Duration::from_secs(2);
/// How long the last worker has for what is left.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn cases(size: Size) -> Vec<Case> {
    let case = Case {
        label: "crash",
        what: "crash: the worker is killed with SIGKILL every 2 seconds",
        scenario: "crash",
        numbers: json!({ "jobs": 8_000, "concurrency": 32, "handler_ms": 40, "kills": 6 }),
        who: Who::Main,
        every_round: false,
        run,
    };
    size.pick(vec![], vec![case])
}

/// What is known about the jobs.
#[derive(Default)]
struct Log {
    started: BTreeSet<usize>,
    done: BTreeMap<usize, u64>,
    /// Jobs that a kill hit, and when.
    hit: BTreeMap<usize, Instant>,
    recovered_ms: Vec<f64>,
}

impl Log {
    fn note(&mut self, (done, number): (bool, usize)) {
        if !done {
            self.started.insert(number);
            return;
        }
        self.started.remove(&number);
        *self.done.entry(number).or_default() += 1;
        if let Some(killed) = self.hit.remove(&number) {
            self.recovered_ms.push(killed.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// Whoever had started and was not done has to be done again.
    fn kill(&mut self, at: Instant) {
        for number in std::mem::take(&mut self.started) {
            self.hit.entry(number).or_insert(at);
        }
    }

    fn figures(&self, jobs: usize, kills: u64) -> Figures {
        #[expect(clippy::cast_precision_loss, reason = "jobs are few")]
        let number = |count: usize| count as f64;
        let twice = self.done.values().filter(|times| **times > 1).count();
        [
            ("lost", number(jobs - self.done.len())),
            ("done_twice", number(twice)),
            ("hit", number(self.recovered_ms.len() + self.hit.len())),
            ("kills", number(usize::try_from(kills).unwrap_or_default())),
            ("recovery_p50_ms", percentile(&self.recovered_ms, 50.0)),
            ("recovery_p99_ms", percentile(&self.recovered_ms, 99.0)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn run(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    let jobs = usize::try_from(case.number("jobs"))?;
    let mut filling = bench.start(peer, case, &json!({ "role": "fill" }))?;
    filling.measure(&bench.server)?;
    filling.finish()?;
    let mut log = Log::default();
    for _ in 0..case.number("kills") {
        let mut worker = start(bench, peer, case)?;
        let end = Instant::now() + PERIOD;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Some(job) = worker.job(left) {
                log.note(job);
            }
        }
        if log.done.len() == jobs {
            bail!("there was nothing left to kill");
        }
        worker.kill();
        let killed = Instant::now();
        while let Some(job) = worker.job(Duration::from_millis(100)) {
            log.note(job);
        }
        log.kill(killed);
    }
    let mut last = start(bench, peer, case)?;
    let end = Instant::now() + PATIENCE;
    while log.done.len() < jobs && Instant::now() < end {
        if let Some(job) = last.job(Duration::from_millis(200)) {
            log.note(job);
        }
    }
    // What comes now would be too much.
    while let Some(job) = last.job(Duration::from_secs(1)) {
        log.note(job);
    }
    last.kill();
    Ok(log.figures(jobs, case.number("kills")))
}

fn start(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Process> {
    let mut worker = bench.start_beside(peer, case, &json!({ "role": "work" }))?;
    worker.send(b"go\n")?;
    Ok(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_a_kill_hit_is_recovered_when_it_is_done_and_lost_when_it_never_is() {
        let mut log = Log::default();
        for event in [(false, 0), (true, 0), (false, 1), (false, 2)] {
            log.note(event);
        }
        log.kill(Instant::now());
        log.note((false, 1));
        log.note((true, 1));
        log.note((true, 0));
        let figures = log.figures(3, 1);
        assert!((figures["lost"] - 1.0).abs() < 1e-9, "{figures:?}");
        assert!((figures["done_twice"] - 1.0).abs() < 1e-9, "{figures:?}");
        assert!((figures["hit"] - 2.0).abs() < 1e-9, "{figures:?}");
    }
}
