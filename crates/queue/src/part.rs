//! One partition of a domain as the process uses it: the scripts behind group commits that outlast a Redis that is away.

use std::sync::Arc;
use std::time::Duration;

use action::Domain;
use broker::Redis;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::commit::{Commit, Committer};
use crate::durable::{Confirm, Durable};
use crate::engine::{Engine, Entry, Placed, Settle, Settled};
use crate::retry::Backoff;
use crate::{Config, Error};

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) domain: Domain,
    pub(crate) engine: Engine,
    submits: Committer<Entry, Result<Placed, Error>>,
    settles: Committer<Settle, Option<Settled>>,
}

impl Part {
    pub(crate) fn start(
        redis: &Redis,
        (domain, partition, confirm): (Domain, u32, Confirm),
        config: &Arc<Config>,
        tracker: &TaskTracker,
        abandon: &CancellationToken,
    ) -> Self {
        let engine = Engine::new(redis.clone(), domain, partition, Arc::clone(config));
        let durable = Durable::new(redis.clone(), confirm);
        let submits = Submits { engine: engine.clone(), durable, patience: config.submit_patience };
        let settles = Settles { engine: engine.clone(), abandon: abandon.clone() };
        Self {
            domain,
            engine,
            submits: Committer::start(tracker, submits),
            settles: Committer::start(tracker, settles),
        }
    }

    pub(crate) async fn submit(&self, entry: Entry) -> Result<Placed, Error> {
        self.submits.commit(entry).await.unwrap_or(Err(Error::Closed))
    }

    /// Settles a delivery. None when the process gave up on a Redis that is away.
    pub(crate) async fn settle(&self, item: Settle) -> Option<Settled> {
        self.settles.commit(item).await.flatten()
    }

    /// Waits until everything that was handed in before has been written, or given up.
    pub(crate) async fn flush(&self) {
        let nothing = Settle::Relayed { id: String::new() };
        let _ = tokio::time::timeout(Duration::from_secs(2), self.settle(nothing)).await;
    }

    /// Notes that an outcome was handed over; it goes along with whatever is settled next.
    pub(crate) fn relayed(&self, id: &str) {
        self.settles.send(Settle::Relayed { id: id.to_owned() });
    }
}

/// A submit whose answer got lost is made again with the same ids, which the script recognises.
struct Submits {
    engine: Engine,
    durable: Durable,
    patience: Duration,
}

impl Commit<Entry, Result<Placed, Error>> for Submits {
    fn size(item: &Entry) -> usize {
        item.size()
    }

    async fn commit(&self, batch: Vec<Entry>) -> Vec<Result<Placed, Error>> {
        match self.insist(&batch).await {
            Ok(placed) => placed,
            Err(error) if batch.len() == 1 || is_about_redis(&error) => {
                batch.iter().map(|_| Err(error.clone())).collect()
            }
            // One of them is at fault: the others must not suffer from it.
            Err(_) => {
                let mut answers = Vec::with_capacity(batch.len());
                for entry in &batch {
                    answers
                        .push(self.insist(std::slice::from_ref(entry)).await.and_then(|mut placed| placed.remove(0)));
                }
                answers
            }
        }
    }
}

impl Submits {
    async fn insist(&self, batch: &[Entry]) -> Result<Vec<Result<Placed, Error>>, Error> {
        let mut last = None;
        let trying = async {
            let mut backoff = Backoff::default();
            loop {
                match self.durable.submit(&self.engine, batch).await {
                    Err(Error::Broker(broker::Error::Unavailable(error))) => {
                        last = Some(Error::Broker(broker::Error::Unavailable(error)));
                        backoff.wait().await;
                    }
                    answer => return answer,
                }
            }
        };
        let answer = tokio::time::timeout(self.patience, trying).await;
        answer.unwrap_or_else(|_| Err(last.take().unwrap_or_else(no_answer)))
    }
}

/// A settle is made again until Redis says what became of it: `stale` when the lease was lost meanwhile.
struct Settles {
    engine: Engine,
    abandon: CancellationToken,
}

impl Commit<Settle, Option<Settled>> for Settles {
    fn size(item: &Settle) -> usize {
        item.size()
    }

    async fn commit(&self, batch: Vec<Settle>) -> Vec<Option<Settled>> {
        tokio::select! {
            settled = self.insist(&batch) => settled,
            () = self.abandon.cancelled() => batch.iter().map(|_| None).collect(),
        }
    }
}

impl Settles {
    async fn insist(&self, batch: &[Settle]) -> Vec<Option<Settled>> {
        let mut backoff = Backoff::default();
        loop {
            match self.engine.settle(0, batch).await {
                Ok(settled) => return settled.into_iter().map(Some).collect(),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "settling is tried again");
                    if !is_about_redis(&error) {
                        return self.one_by_one(batch).await;
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    /// One of a batch is at fault: the others must not suffer from it. What cannot be settled comes back with its lease.
    async fn one_by_one(&self, batch: &[Settle]) -> Vec<Option<Settled>> {
        let mut settled = Vec::with_capacity(batch.len());
        for item in batch {
            let answer = self.engine.settle(0, std::slice::from_ref(item)).await;
            settled.push(answer.ok().and_then(|answer| answer.first().copied()));
        }
        settled
    }
}

/// Whether an error says nothing about what was sent.
fn is_about_redis(error: &Error) -> bool {
    matches!(error, Error::Broker(broker::Error::Unavailable(_) | broker::Error::Full(_)))
}

fn no_answer() -> Error {
    let error = redis::RedisError::from((redis::ErrorKind::Io, "no answer in time"));
    Error::Broker(broker::Error::Unavailable(error))
}
