//! What is measured: each scenario in a file of its own, as cases that one process does at a time.

mod crash;
mod drain;
mod end_to_end;
mod enqueue;
mod fairness;
mod pickup;
mod scale;
mod tiers;

use anyhow::Result;
use serde_json::{Value, json};

use crate::compare::Bench;
use crate::figures::Figures;
use crate::peer::{Marks, Peer, Scenario};
use crate::protocol::End;

/// One thing that is measured, for everybody who can do it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name in the report, e.g. `drain.c128`.
    pub label: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// What the process is told to do.
    pub scenario: Scenario,
    /// The numbers of the scenario, beside those that all have.
    pub numbers: Value,
    /// Who does it.
    pub who: Who,
    /// Whether it is done in every round, or once because it counts rather than measures time.
    pub every_round: bool,
    /// How one run becomes figures.
    pub run: fn(&Bench, &'static Peer, &Case) -> Result<Figures>,
}

/// Who does a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody who knows the scenario.
    All,
    /// Ours and BullMQ, the peer that the bounds are about.
    Main,
    /// Ours alone.
    Ours,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A first look within a minute.
    Quick,
    /// What is published.
    Full,
}

impl Size {
    /// Chooses a number.
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

impl Case {
    /// Tells whether somebody does this.
    pub fn is_for(&self, peer: &Peer) -> bool {
        let asked = match self.who {
            Who::All => true,
            Who::Main => peer.is_main(),
            Who::Ours => peer.is_ours(),
        };
        asked && peer.can(self.scenario)
    }

    /// Returns a number of this case.
    pub fn number(&self, name: &str) -> u64 {
        self.numbers[name].as_u64().unwrap_or_default()
    }
}

/// Returns all cases, in the order in which they are measured.
pub fn all(size: Size) -> Vec<Case> {
    let scenarios = [
        enqueue::cases,
        drain::cases,
        end_to_end::cases,
        pickup::cases,
        fairness::cases,
        tiers::cases,
        crash::cases,
        scale::cases,
    ];
    scenarios.into_iter().flat_map(|cases| cases(size)).collect()
}

/// Limits a number of jobs to what a peer does in a few seconds.
fn bounded(peer: &Peer, jobs: u64) -> u64 {
    jobs.min(u64::from(peer.pace) * 3)
}

/// Returns the figures of a run that went as fast as it could.
fn throughput(end: &End, marks: &Marks) -> Figures {
    #[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^52")]
    let jobs = end.jobs.max(1) as f64;
    let mut figures = end.figures.clone();
    figures.extend([
        ("per_s".to_owned(), jobs / end.seconds.max(1e-6)),
        ("redis_cpu_us".to_owned(), marks.redis.cpu_us / jobs),
        ("client_cpu_us".to_owned(), marks.client_seconds * 1e6 / jobs),
        ("redis_commands".to_owned(), marks.redis.commands / jobs),
    ]);
    figures
}

/// Runs a case in one go: prepared, measured, ended.
fn straight(bench: &Bench, peer: &'static Peer, case: &Case) -> Result<Figures> {
    let jobs = bounded(peer, case.number("jobs"));
    let mut process = bench.start(peer, case, &json!({ "jobs": jobs }))?;
    let (end, marks) = process.measure(&bench.server)?;
    crate::peer::all_done(&end, jobs)?;
    process.finish()?;
    Ok(throughput(&end, &marks))
}
