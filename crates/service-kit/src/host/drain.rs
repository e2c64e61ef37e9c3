//! The end of a process part, within its grace.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::WORKERS_SHARE;
use super::server::Running;
use crate::Kit;

/// Part of the grace after which calls are cut off; what is left is for telling their callers.
const CALLS_SHARE: f32 = 0.9;

/// Ends everything that runs. Workers end first, while façades still answer: what they finish calls other services, which
/// may be in this very process.
pub(super) async fn run(mut running: Running, kit: &Kit) {
    let (begun, grace) = (Instant::now(), running.config.grace);
    let end = begun + grace;
    tracing::info!(?grace, "draining");
    kit.health.drain().await;

    running.signals.claiming.cancel();
    let workers_end = begun + grace.mul_f32(WORKERS_SHARE);
    let workers = timeout_at(workers_end, join_all(&mut running.workers));
    let (workers, front) = tokio::join!(workers, timeout_at(workers_end, &mut running.front.0));
    if workers.is_err() {
        tracing::warn!("workers did not end in time; their leases expire and others go on");
        running.workers.iter().for_each(tokio::task::JoinHandle::abort);
    }
    if front.is_err() {
        tracing::warn!("the edge did not end in time; its calls are cut off");
    }

    running.signals.accepting.cancel();
    running.signals.ending.streams.cancel();
    // tonic waits for connections as long as their callers like, so the time is ours to keep.
    if timeout_at(begun + grace.mul_f32(CALLS_SHARE), &mut running.grpc).await.is_err() {
        tracing::warn!("calls did not end in time and are cut off");
        running.signals.ending.calls.cancel();
        if timeout_at(end - grace.mul_f32(0.05), &mut running.grpc).await.is_err() {
            running.grpc.abort();
        }
    }

    let closing = async {
        kit.queue.drain().await;
        kit.sessions.close().await;
    };
    let reserve = Duration::from_millis(200);
    if timeout_at(end.max(Instant::now() + reserve), closing).await.is_err() {
        tracing::warn!("the queue did not end in time");
    }
    running.signals.telling.cancel();
    let left = end.saturating_duration_since(Instant::now()).max(reserve);
    if !kit.tasks.end(left).await {
        tracing::warn!("background tasks did not end in time");
    }
    tracing::info!(took = ?begun.elapsed(), "drained");
}
