//! A gateway is killed while it streams: whether its clients get everything once, and how soon they go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use action::{TaskId, TenantId, Tier};
use anyhow::{Context as _, Result};
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentDelta, Frame};
use serde_json::Value;
use session::{Append, Finality, Log, Sessions};

use super::{Stage, figures};
use crate::edge::beside;
use crate::edge::socket::Socket;
use crate::edge::world::{Guest, TENANT};
use crate::figures::percentile;

/// Pieces of an answer in each session.
const PIECES: u32 = 20;
/// Pieces a second, all sessions together.
const RATE: usize = 2_000;
/// Writers at the same time.
const WRITERS: usize = 16;
/// Piece during which the gateway is killed.
const KILLED_AT: u32 = 8;
/// Longest pause of a client before it comes back; each draws its own.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(2);

/// What all clients share.
struct Streams {
    gateways: [String; 2],
    guest: Guest,
    attached: AtomicUsize,
}

/// What one client saw.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// The last piece.
    last: u32,
    lost: u32,
    twice: u32,
    gaps: u32,
    position: Option<(String, u64)>,
    /// How long it took from the break until the session was followed again.
    resumed_ms: Option<f64>,
}

pub(super) fn run(stage: &mut Stage<'_>) -> Result<()> {
    stage.world.redis.clear()?;
    let orchestrator = stage.world.serve("orchestrator", "orchestrator", &[])?;
    let above = format!("http://{}", orchestrator.address("grpc")?);
    let settings = [("ORCHESTRATOR_URL", above.as_str())];
    let mut killed = stage.world.serve("gateway", "killed", &settings)?;
    let other = stage.world.serve("gateway", "other", &settings)?;
    let gateways = [killed.address("http")?, other.address("http")?];
    let streams = Streams { gateways, guest: stage.world.tenant.clone(), attached: AtomicUsize::new(0) };
    let (streams, count) = (Arc::new(streams), stage.size.streams);
    let redis = stage.world.redis.tcp_url();
    let seen = stage.runtime.block_on(async {
        let clients: Vec<_> = (0..count).map(|number| beside(follow(streams.clone(), number))).collect();
        let begun = Instant::now();
        while streams.attached.load(Ordering::Relaxed) < count {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "not every session is followed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let writing = beside(write(redis, count));
        tokio::time::sleep(round_time(count) * KILLED_AT).await;
        killed.kill();
        writing.await??;
        let mut seen = Vec::new();
        for client in clients {
            seen.push(tokio::time::timeout(PATIENCE, client).await.context("every client sees the end")???);
        }
        Ok(seen)
    })?;
    let sum = |of: fn(&Seen) -> u32| seen.iter().map(|seen| f64::from(of(seen))).sum::<f64>();
    let times: Vec<f64> = seen.iter().filter_map(|seen| seen.resumed_ms).collect();
    let shown = figures([
        ("streams", number(seen.len())),
        ("resumed", number(times.len())),
        ("frames", number(seen.len()) * f64::from(PIECES)),
        ("lost", sum(|seen| seen.lost)),
        ("twice", sum(|seen| seen.twice)),
        ("gaps", sum(|seen| seen.gaps)),
        ("resume_p50_ms", percentile(&times, 50.0)),
        ("resume_p99_ms", percentile(&times, 99.0)),
    ]);
    stage.results.add("crash", "gateway", shown);
    other.stop();
    orchestrator.stop();
    Ok(())
}

/// Reads one session to its end, at the first gateway and then at the other.
async fn follow(streams: Arc<Streams>, number: usize) -> Result<Seen> {
    let (session, mut seen) = (session(number), Seen::default());
    let (mut at, mut broke) = (0, None);
    let begun = Instant::now();
    while seen.last < PIECES {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "session {session} does not end; seen: {seen:?}");
        let opened = Socket::follow(&streams.gateways[at], &streams.guest, &session, seen.position.as_ref()).await;
        if let Ok(mut socket) = opened {
            while let Ok(Some(text)) = socket.next().await {
                let kind = seen.take(&text)?;
                if kind == "connection_ack" && at == 0 {
                    streams.attached.fetch_add(1, Ordering::Relaxed);
                }
                if let ("connection_ack", Some(broke)) = (kind.as_str(), broke) {
                    seen.resumed_ms.get_or_insert(Instant::now().duration_since(broke).as_secs_f64() * 1e3);
                }
                if seen.last >= PIECES {
                    return Ok(seen);
                }
            }
        }
        broke.get_or_insert_with(Instant::now);
        at = 1;
        tokio::time::sleep(PAUSE.mul_f64(rand::random())).await;
    }
    Ok(seen)
}

impl Seen {
    /// Takes a frame and returns its type.
    fn take(&mut self, text: &[u8]) -> Result<String> {
        let frame: Value = serde_json::from_slice(text)?;
        let kind = frame["type"].as_str().context("a frame has a type")?.to_owned();
        match kind.as_str() {
            "agent_delta" => self.pieces(frame["data"]["text"].as_str().unwrap_or_default()),
            "gap" => self.gaps += 1,
            _ => {}
        }
        if let (Some(epoch), Some(seq)) = (frame["epoch"].as_str(), frame["seq"].as_u64()) {
            self.position = Some((epoch.to_owned(), seq));
        }
        Ok(kind)
    }

    /// Takes pieces of the answer, several where the gateway has put them together.
    fn pieces(&mut self, text: &str) {
        for piece in text.split_ascii_whitespace().filter_map(|piece| piece.parse::<u32>().ok()) {
            if piece <= self.last {
                self.twice += 1;
            } else {
                self.lost += piece - self.last - 1;
                self.last = piece;
            }
        }
    }
}

fn session(number: usize) -> String {
    format!("stream-{number}")
}

/// Time in which every session gets one piece.
#[expect(clippy::cast_precision_loss, reason = "sessions are few")]
fn round_time(sessions: usize) -> Duration {
    Duration::from_secs_f64(sessions as f64 / RATE as f64)
}

/// Writes every session's answer, piece by piece.
async fn write(redis: String, sessions: usize) -> Result<()> {
    let log = Sessions::start(broker::Redis::connect(&redis).await?, session::Config::default()).await?;
    let writers = (0..WRITERS).map(|writer| {
        let log = log.clone();
        beside(async move {
            let mine: Vec<_> = (writer..sessions).step_by(WRITERS).map(|number| (number, TaskId::new())).collect();
            let mut rounds = tokio::time::interval(round_time(sessions));
            for piece in 1..=PIECES {
                rounds.tick().await;
                for &(number, task) in &mine {
                    write_one(&log, number, task, piece).await?;
                }
            }
            anyhow::Ok(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    Ok(())
}

async fn write_one(log: &Sessions, number: usize, task: TaskId, piece: u32) -> Result<()> {
    let (tenant, session): (TenantId, _) = (TENANT.parse()?, session(number));
    let frame = Frame {
        task_id: task.to_string(),
        session_id: session.clone(),
        tenant_id: tenant.to_string(),
        tier: Tier::Professional.to_proto().into(),
        body: Some(Body::AgentDelta(AgentDelta { attempt: 1, index: piece - 1, text: format!("{piece} ") })),
        ..Frame::default()
    };
    let append = Append { task, fence: 1, finality: Finality::Progress, frame };
    log.append(&Log::session(&tenant, &session.parse()?), append).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sessions are few")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_comes_twice_is_counted() {
        let mut seen = Seen::default();
        for text in ["1 ", "2 3 ", "3 ", "6 "] {
            seen.pieces(text);
        }
        assert_eq!((seen.last, seen.lost, seen.twice), (6, 2, 1));
    }

    #[test]
    fn a_position_is_that_of_the_last_frame_that_has_one() {
        let mut seen = Seen::default();
        let delta = br#"{"type":"agent_delta","data":{"text":"1 "},"epoch":"e","seq":4}"#;
        assert_eq!(seen.take(delta).unwrap(), "agent_delta");
        assert_eq!(seen.take(br#"{"type":"pong","data":{}}"#).unwrap(), "pong");
        assert_eq!((seen.position, seen.last), (Some(("e".to_owned(), 4)), 1));
    }
}
