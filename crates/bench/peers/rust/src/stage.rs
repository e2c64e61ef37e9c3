//! What the Rust peers share: the numbers, the data of a job, the protocol, and the scenarios.

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Numbers of the scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Numbers {
    pub url: String,
    pub jobs: usize,
    pub tenants_per_tier: usize,
    pub tiers: usize,
    pub contexts: usize,
    pub body: usize,
    pub in_flight: usize,
    pub batch: usize,
    pub concurrency: usize,
    pub window: usize,
    pub seconds: f64,
    pub period_ns: u64,
}

/// The data of a job: as long as the stored body of ours, and saying the same: for whom, in which context, what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    pub i: usize,
    tenant: String,
    tier: String,
    context: String,
    query: String,
}

impl Numbers {
    pub fn data(&self, i: usize) -> Data {
        let tier = ["enterprise", "professional", "advance", "free"][i % self.tiers.clamp(1, 4)].to_owned();
        let tenant = format!("tenant-{}", i / self.tiers.max(1) % self.tenants_per_tier.max(1));
        let context = format!("agent-{}", i % self.contexts.max(1));
        let mut data = Data { i, tenant, tier, context, query: String::new() };
        let length = serde_json::to_string(&data).map_or(0, |text| text.len());
        data.query = "x".repeat(self.body.saturating_sub(length));
        data
    }
}

/// Called with the number of each job that is worked on.
pub type OnJob = Arc<dyn Fn(usize) + Send + Sync>;

/// A library that is measured.
pub trait Peer: Clone + Send + Sync + 'static {
    const VERSION: &'static str;
    fn settings(&self) -> String;
    fn add(&self, data: Data) -> impl Future<Output = ()> + Send;
    fn add_many(&self, data: Vec<Data>) -> impl Future<Output = ()> + Send;
    fn work(&self, concurrency: usize, on_job: OnJob) -> impl Future<Output = ()> + Send;
}

/// Reads the arguments: the scenario and its numbers.
pub fn arguments() -> (String, Numbers) {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().expect("a scenario");
    (scenario, serde_json::from_str(&arguments.next().expect("numbers")).expect("numbers are JSON"))
}

/// Runs the scenario and ends the process.
pub async fn run(peer: impl Peer, scenario: &str, n: Numbers) {
    match scenario {
        "enqueue" => enqueue(peer, n).await,
        "drain" => drain(peer, n).await,
        "end_to_end" => end_to_end(peer, n).await,
        "pickup" => pickup(peer, n).await,
        other => panic!("unknown scenario {other}"),
    }
    std::process::exit(0);
}

async fn enqueue(peer: impl Peer, n: Numbers) {
    ready(&peer).await;
    let start = Instant::now();
    fill(&peer, &n, n.in_flight, n.batch).await;
    end(n.jobs, start, json!({}));
}

async fn drain(peer: impl Peer, n: Numbers) {
    fill(&peer, &n, 4, 100).await;
    ready(&peer).await;
    let (done, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    peer.work(n.concurrency, counting(&done)).await;
    reach(&done, n.jobs).await;
    end(n.jobs, start, json!({}));
}

async fn end_to_end(peer: impl Peer, n: Numbers) {
    ready(&peer).await;
    let (done, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    peer.work(n.concurrency, counting(&done)).await;
    let mut added = 0;
    while start.elapsed().as_secs_f64() < n.seconds {
        reach(&done, (added + n.batch).saturating_sub(n.window)).await;
        peer.add_many((added..added + n.batch).map(|i| n.data(i)).collect()).await;
        added += n.batch;
    }
    reach(&done, added).await;
    end(added, start, json!({}));
}

async fn pickup(peer: impl Peer, n: Numbers) {
    let starts: Arc<[AtomicU64]> = (0..n.jobs).map(|_| AtomicU64::new(0)).collect();
    let done = Arc::new(AtomicUsize::new(0));
    let (mut input, go) = ready(&peer).await;
    let first: u64 = go.parse().expect("the moment of the first job");
    let on_job: OnJob = {
        let (starts, done) = (Arc::clone(&starts), Arc::clone(&done));
        Arc::new(move |i| {
            starts[i].store(monotonic_ns(), Ordering::Relaxed);
            done.fetch_add(1, Ordering::Relaxed);
        })
    };
    peer.work(n.concurrency, on_job).await;
    let (mut next, mut buffer) = (0, [0; 4096]);
    while next < n.jobs {
        let count = input.read(&mut buffer).await.expect("standard input");
        assert!(count > 0, "the harness is gone");
        for i in next..n.jobs.min(next + count) {
            let (peer, data) = (peer.clone(), n.data(i));
            tokio::spawn(async move { peer.add(data).await });
        }
        next += count;
    }
    let _ = tokio::time::timeout(Duration::from_secs(3), reach(&done, n.jobs)).await;
    let waits: Vec<Value> = starts
        .iter()
        .zip(0_u64..)
        .map(|(start, i)| match start.load(Ordering::Relaxed) {
            0 => Value::Null,
            start => json!(start.saturating_sub(first + i * n.period_ns) / 1_000),
        })
        .collect();
    let seconds = monotonic_ns().saturating_sub(first) as f64 / 1e9;
    say(&json!({ "phase": "end", "jobs": n.jobs, "seconds": seconds, "waits_us": waits }));
}

async fn fill(peer: &impl Peer, n: &Numbers, in_flight: usize, batch: usize) {
    let (next, batch) = (Arc::new(AtomicUsize::new(0)), batch.max(1));
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..in_flight.max(1) {
        let (peer, n, next) = (peer.clone(), n.clone(), Arc::clone(&next));
        loops.spawn(async move {
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= n.jobs {
                    return;
                }
                if batch == 1 {
                    peer.add(n.data(from)).await;
                } else {
                    peer.add_many((from..n.jobs.min(from + batch)).map(|i| n.data(i)).collect()).await;
                }
            }
        });
    }
    loops.join_all().await;
}

fn counting(done: &Arc<AtomicUsize>) -> OnJob {
    let done = Arc::clone(done);
    Arc::new(move |_| {
        done.fetch_add(1, Ordering::Relaxed);
    })
}

async fn reach(done: &AtomicUsize, enough: usize) {
    while done.load(Ordering::Relaxed) < enough {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn ready(peer: &impl Peer) -> (Receiver, String) {
    fn settings(peer: &impl Peer) -> String {
        peer.settings()
    }
    fn version<P: Peer>(_: &P) -> &'static str {
        P::VERSION
    }
    say(&json!({ "phase": "ready", "settings": settings(peer), "version": version(peer) }));
    let pipe = std::fs::File::open("/dev/stdin").expect("standard input");
    let mut input = Receiver::from_file(pipe).expect("standard input is a pipe");
    let mut line = Vec::new();
    loop {
        match input.read_u8().await.expect("the harness is there") {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    (input, line.trim_start_matches("go").trim().to_owned())
}

fn end(jobs: usize, start: Instant, figures: Value) {
    say(&json!({ "phase": "end", "jobs": jobs, "seconds": start.elapsed().as_secs_f64(), "figures": figures }));
}

fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("standard output");
}

fn monotonic_ns() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    u64::try_from(Duration::from(time).as_nanos()).expect("not that long")
}
