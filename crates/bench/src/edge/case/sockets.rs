//! Many sockets: what one costs while it waits, and what a frame costs on its way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Stage, figures, per, turns};
use crate::edge::child::{Child, Meter};
use crate::edge::socket::{Socket, open_all};

/// A round's frames are pushed in so many pieces, one to everybody in turn: a machine that others share changes its speed from
/// second to second, and both shall meet the same.
const PIECES: usize = 4;
/// Frames a second, to all sockets together.
const RATE: usize = 10_000;
/// Sockets that pay for what all share; they are not counted.
const FIRST: usize = 20;
/// The gateway says where the session stands.
const GREETINGS: usize = 1;
const PATIENCE: Duration = Duration::from_mins(2);
/// Time for a process to come to rest.
const REST: Duration = Duration::from_secs(2);

/// Sockets that are read from until they are dropped.
struct Held {
    tasks: Vec<JoinHandle<()>>,
    read: Arc<AtomicU64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn run(stage: &mut Stage<'_>) -> Result<()> {
    stage.world.redis.clear()?;
    let gateway = stage.world.gateway("holding", &[])?;
    let (ours_at, bare_at) = (gateway.address("http")?, stage.world.bare.address("http")?);
    let guest = stage.world.tenant.clone();
    let follow = |number: usize| {
        let (at, guest) = (ours_at.clone(), guest.clone());
        async move { Socket::follow(&at, &guest, &format!("session-{number}"), None).await }
    };
    let bare_open = |_: usize| {
        let at = bare_at.clone();
        async move { Socket::open(&at, "/ws", "").await }
    };
    let ours = hold(stage, "gateway", gateway.meter(), |from, count| open_all(from..from + count, GREETINGS, follow))?;
    let meter = stage.world.bare.meter();
    let bare = hold(stage, "axum", meter, |from, count| open_all(from..from + count, 0, bare_open))?;
    let all = [("gateway", gateway.meter(), &ours), ("axum", meter, &bare)];
    for round in 0..stage.size.rounds {
        let mut used = [0.0; 2];
        for piece in 0..PIECES {
            for who in turns(round + piece, [0, 1]) {
                used[who] += push(stage, all[who])?;
            }
        }
        for ((who, ..), used) in all.iter().zip(used) {
            let frames = piece_of(stage) * PIECES;
            stage.results.add("push", who, figures([("cpu_us", per(used, frames as u64))]));
        }
    }
    drop((ours, bare));
    gateway.stop();
    hop(stage)
}

/// Opens sockets, reads from them, and notes what each has made the process grow by.
fn hold<F>(stage: &mut Stage<'_>, who: &str, process: Meter, open: impl Fn(usize, usize) -> F) -> Result<Held>
where
    F: Future<Output = Result<Vec<Socket>>>,
{
    let count = stage.size.sockets;
    let in_time = async |opening: F| tokio::time::timeout(PATIENCE, opening).await.context("the sockets open")?;
    let mut sockets = stage.runtime.block_on(in_time(open(0, FIRST)))?;
    std::thread::sleep(REST);
    let before = process.used()?;
    sockets.extend(stage.runtime.block_on(in_time(open(FIRST, count)))?);
    std::thread::sleep(REST);
    let after = process.used()?;
    let shown = figures([
        ("memory_bytes", per(after.memory - before.memory, count as u64)),
        ("open_cpu_us", per(after.cpu_us - before.cpu_us, count as u64)),
    ]);
    stage.results.add("idle", who, shown);
    let read = Arc::new(AtomicU64::new(0));
    let reading = |mut socket: Socket| {
        let read = read.clone();
        stage.runtime.spawn(async move {
            while let Ok(Some(_)) = socket.next().await {
                read.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    Ok(Held { tasks: sockets.into_iter().map(reading).collect(), read })
}

/// Returns how many frames are in a piece of a round.
fn piece_of(stage: &Stage<'_>) -> usize {
    stage.size.sockets * stage.size.messages / PIECES
}

/// Lets a piece of the frames be pushed, waits until all of them are read, and returns the processor time that it took.
fn push(stage: &mut Stage<'_>, (who, process, held): (&str, Meter, &Held)) -> Result<f64> {
    let frames = piece_of(stage);
    let source = if who == "gateway" { &mut stage.world.upstream } else { &mut stage.world.bare };
    let (before, read) = (process.used()?, held.read.load(Ordering::Relaxed));
    let begun = Instant::now();
    source.tell(&format!("push {frames} {RATE}"))?;
    source.line("pushed ", PATIENCE)?;
    while held.read.load(Ordering::Relaxed) - read < frames as u64 {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{who}: not every frame arrived");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(process.used()?.cpu_us - before.cpu_us)
}

/// The way to the gateway alone: the same frames over the same stream, received and dropped.
fn hop(stage: &mut Stage<'_>) -> Result<()> {
    let upstream = format!("http://{}", stage.world.upstream.address("grpc")?);
    let frames = stage.size.sockets * stage.size.messages;
    let numbers = json!({ "upstream": upstream, "sessions": stage.size.sockets });
    let mut receiver = stage.world.part("receiver", &numbers)?;
    for _ in 0..stage.size.rounds {
        let before = receiver.meter().used()?;
        receiver.tell(&format!("take {frames}"))?;
        stage.world.upstream.tell(&format!("push {frames} {RATE}"))?;
        receiver.line("taken ", PATIENCE).context("the frames arrive")?;
        stage.world.upstream.line("pushed ", PATIENCE)?;
        let used = receiver.meter().used()?.cpu_us - before.cpu_us;
        stage.results.add("push", "gRPC hop", figures([("cpu_us", per(used, frames as u64))]));
    }
    Child::stop(receiver);
    Ok(())
}
