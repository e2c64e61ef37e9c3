//! Runs everybody on the same work, interleaved, and collects what came out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::figures::{Figures, Spread};
use crate::machine::Machine;
use crate::peer::{self, Kind, Peer, Places, Process};
use crate::scenario::{self, Case, Size};
use crate::server::{Persistence, Server};

/// Length of what is stored for a job.
pub const BODY: usize = 256;
/// How long one run may take at most.
const WITHIN: Duration = Duration::from_mins(3);

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who beside ours.
    pub peers: Vec<&'static Peer>,
    /// How much.
    pub size: Size,
    /// How often everything that measures time is repeated.
    pub rounds: usize,
    /// Only cases whose labels begin with one of these; all when empty.
    pub only: Vec<String>,
    /// How Redis keeps what it holds.
    pub persistence: Persistence,
    /// Whether the unix socket is used instead of loopback TCP.
    pub unix: bool,
    /// Where things are.
    pub places: Places,
}

/// The state of a comparison while it goes on.
#[derive(Debug)]
pub struct Bench {
    /// Redis of the benchmark.
    pub server: Server,
    url: String,
    places: Places,
    /// Length of our payload that makes the stored body as long as asked for.
    payload: usize,
    /// How long the stored body is with it.
    body: usize,
    about: RefCell<BTreeMap<&'static str, About>>,
}

/// What somebody says about itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Versions of what it uses.
    pub version: String,
    /// Settings that it chose, by case.
    pub settings: BTreeMap<String, String>,
    /// Why it was left out; empty when it was not.
    pub skipped: String,
    /// What failed, by case.
    pub failures: BTreeMap<String, String>,
}

/// Everything that came out.
#[derive(Debug)]
pub struct Measured {
    /// The machine.
    pub machine: Machine,
    /// Redis and how it is reached.
    pub redis: Value,
    /// Cases that were measured.
    pub cases: Vec<Case>,
    /// Figures by case, then name of the peer, then figure.
    pub results: BTreeMap<&'static str, BTreeMap<&'static str, BTreeMap<String, Spread>>>,
    /// What everybody said about itself, by name.
    pub about: BTreeMap<&'static str, About>,
    /// How much was measured.
    pub size: Size,
    /// How often.
    pub rounds: usize,
}

impl Bench {
    /// Empties Redis and starts a process that does a case; returns when it is ready.
    pub fn start(&self, peer: &'static Peer, case: &Case, more: &Value) -> Result<Process> {
        self.server.clear()?;
        self.start_beside(peer, case, more)
    }

    /// The same without emptying Redis, for a process that finds something there.
    pub fn start_beside(&self, peer: &'static Peer, case: &Case, more: &Value) -> Result<Process> {
        let mut process = Process::start(self.command(peer, case.scenario, &[&case.numbers, more]), WITHIN)?;
        let ready = process.ready()?;
        let mut about = self.about.borrow_mut();
        let about = about.entry(peer.name).or_default();
        about.version = ready.version;
        about.settings.insert(case.label.to_owned(), ready.settings);
        Ok(process)
    }

    /// Makes the command of a process, with numbers that all have and these, later ones first.
    pub fn command(&self, peer: &Peer, scenario: peer::Scenario, numbers: &[&Value]) -> std::process::Command {
        let mut all = json!({
            "url": self.url, "tenants_per_tier": 1000, "tiers": 4, "contexts": 2, "body": BODY, "payload": self.payload,
        });
        for more in numbers {
            if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
                all.extend(more.clone());
            }
        }
        peer.command(&self.places, scenario, &all)
    }

    /// Finds out how long our payload must be so that the stored body has the length asked for.
    fn calibrate(&mut self) -> Result<()> {
        self.payload = 64;
        self.server.clear()?;
        let mut process = Process::start(self.command(&peer::ALL[0], "probe", &[]), WITHIN)?;
        process.ready()?;
        let stored = usize::try_from(self.server.longest_string(":b:")?)?;
        process.measure(&self.server)?;
        process.finish()?;
        // With an envelope longer than that there is nothing to choose; the report tells the length.
        let envelope = stored.saturating_sub(self.payload);
        self.payload = BODY.saturating_sub(envelope).max(8);
        self.body = envelope + self.payload;
        Ok(())
    }
}

/// Measures everything. Peers that cannot be installed are left out, and the reason is told to `say`.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Measured> {
    let mut about = BTreeMap::new();
    let peers = install(options, &mut about, say);
    let machine = Machine::look();
    if machine.is_busy() {
        say(&format!("the machine is busy: only {:.0} % of it is idle", machine.idle * 100.0));
    }
    let server = Server::start(options.persistence)?;
    let url = if options.unix { server.unix_url() } else { server.tcp_url() };
    let places = options.places.clone();
    let mut bench = Bench { server, url, places, payload: 0, body: 0, about: RefCell::new(about) };
    bench.calibrate().context("find the length of a stored body")?;
    let cases: Vec<Case> = scenario::all(options.size).into_iter().filter(|case| wanted(options, case)).collect();
    let results = measure(&bench, &cases, &peers, options.rounds, say);
    let redis = json!({
        "version": bench.server.version()?, "persistence": options.persistence.as_str(),
        "transport": if options.unix { "unix socket" } else { "loopback TCP" },
        "payload_bytes": bench.payload, "body_bytes": bench.body,
    });
    let (size, rounds, about) = (options.size, options.rounds, bench.about.into_inner());
    Ok(Measured { machine, redis, cases, results, about, size, rounds })
}

fn wanted(options: &Options, case: &Case) -> bool {
    options.only.is_empty() || options.only.iter().any(|only| case.label.starts_with(only.as_str()))
}

/// Installs everybody who is to be measured and returns those who can be.
fn install(
    options: &Options,
    about: &mut BTreeMap<&'static str, About>,
    say: &mut dyn FnMut(&str),
) -> Vec<&'static Peer> {
    let mut peers = vec![&peer::ALL[0]];
    for &peer in options.peers.iter().filter(|peer| peer.kind != Kind::Ours) {
        match peer::install(peer, &options.places, say) {
            Ok(()) => peers.push(peer),
            Err(error) => {
                say(&format!("{} is left out: {error:#}", peer.title));
                about.entry(peer.name).or_default().skipped = format!("{error:#}");
            }
        }
    }
    peers
}

type Results = BTreeMap<&'static str, BTreeMap<&'static str, BTreeMap<String, Spread>>>;

/// Runs all rounds. In each round and case all take their turn, so that whatever else the machine does hits all alike.
fn measure(
    bench: &Bench,
    cases: &[Case],
    peers: &[&'static Peer],
    rounds: usize,
    say: &mut dyn FnMut(&str),
) -> Results {
    let mut results = Results::new();
    let turns = |case: &Case, round: usize| -> Vec<&'static Peer> {
        let now = |peer: &&&'static Peer| case.is_for(peer) && (round == 0 || case.every_round && peer.is_main());
        peers.iter().filter(now).copied().collect()
    };
    let all = (0..rounds).flat_map(|round| cases.iter().map(move |case| (round, case)));
    let bar = ProgressBar::new(all.clone().map(|(round, case)| turns(case, round).len() as u64).sum());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for (round, case) in all {
        for peer in turns(case, round) {
            bar.set_message(format!("{}: {}", case.what, peer.title));
            bar.tick();
            match (case.run)(bench, peer, case) {
                Ok(figures) => add(&mut results, case, peer, figures),
                Err(error) => {
                    bar.suspend(|| say(&format!("{} failed at {}: {error:#}", peer.title, case.label)));
                    let mut about = bench.about.borrow_mut();
                    let failures = &mut about.entry(peer.name).or_default().failures;
                    failures.insert(case.label.to_owned(), format!("{error:#}"));
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    results
}

fn add(results: &mut Results, case: &Case, peer: &Peer, figures: Figures) {
    let row = results.entry(case.label).or_default().entry(peer.name).or_default();
    for (name, value) in figures {
        row.entry(name).or_default().add(value);
    }
}

impl Measured {
    /// Returns the median of a figure.
    pub fn median(&self, label: &str, peer: &str, figure: &str) -> Option<f64> {
        self.results.get(label)?.get(peer)?.get(figure)?.median()
    }

    /// Returns one median divided by another.
    pub fn ratio(&self, label: &str, figure: &str, (over, under): (&str, &str)) -> Option<f64> {
        let (over, under) = (self.median(label, over, figure)?, self.median(label, under, figure)?);
        (under > 0.0).then(|| over / under)
    }
}
