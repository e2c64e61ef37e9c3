//! The mission's `queue_stats:{queue_name}` hashes, written behind at most once a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use action::{QueueName, time};
use broker::Redis;
use tokio_util::sync::CancellationToken;

use crate::keys;

const EVERY: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_hours(1);
/// Queues whose numbers are held at once; beyond it numbers are dropped rather than memory filled.
const MOST: usize = 10_000;

/// Counts what goes into queues and out of them.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    counts: Mutex<HashMap<String, Count>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    enqueued: u64,
    dequeued: u64,
    last_enqueued: u64,
    last_dequeued: u64,
}

impl Monitor {
    pub(crate) fn enqueued(&self, queue: &QueueName, at: u64) {
        self.count(queue, |count| {
            count.enqueued += 1;
            count.last_enqueued = at;
        });
    }

    pub(crate) fn dequeued(&self, queue: &QueueName, at: u64) {
        self.count(queue, |count| {
            count.dequeued += 1;
            count.last_dequeued = at;
        });
    }

    /// Writes what was counted, every second, until it is stopped; then once more.
    pub(crate) async fn run(&self, redis: &Redis, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
            self.write(redis).await;
        }
    }

    fn count(&self, queue: &QueueName, change: impl FnOnce(&mut Count)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() < MOST {
            change(counts.entry(queue.to_string()).or_default());
        }
    }

    async fn write(&self, redis: &Redis) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for (queue, count) in counts {
            let key = keys::queue_stats(&queue);
            let sides =
                [("enqueued", count.enqueued, count.last_enqueued), ("dequeued", count.dequeued, count.last_dequeued)];
            for (side, number, last) in sides {
                if number > 0 {
                    pipeline.hincr(&key, side, number).ignore();
                    pipeline.hset(&key, format!("last_{side}"), time::from_unix_ms(last).to_string()).ignore();
                }
            }
            pipeline.expire(&key, i64::try_from(TTL.as_secs()).unwrap_or(i64::MAX)).ignore();
        }
        // Figures for people: a second that is lost is not worth trying again.
        if let Err(error) = redis.pipeline::<()>(&pipeline).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "queue statistics were not written");
        }
    }
}
