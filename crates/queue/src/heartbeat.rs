//! Keeps the leases of this process, on a thread of its own: work that keeps every thread of the runtime busy must not cost
//! its lease.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use broker::{Blocking, Redis};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::engine::{Extended, extension};

/// Most leases of one script.
const MOST: usize = 500;

#[derive(Debug)]
pub(crate) struct Heartbeat {
    beat: Arc<Beat>,
    started: AtomicBool,
}

#[derive(Debug)]
struct Beat {
    redis: Redis,
    every: Duration,
    lease: Duration,
    stop: CancellationToken,
    held: Mutex<HashMap<Key, Arc<State>>>,
}

/// Tag of the partition, id of the action, token of the delivery.
type Key = (Arc<str>, String, u64);

/// A lease that is kept as long as this lives.
#[derive(Debug)]
pub(crate) struct Lease {
    beat: Arc<Beat>,
    key: Key,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: CancellationToken,
    why: OnceLock<Ended>,
}

/// Why work on a lease should stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody cancelled the action.
    Cancelled(String),
    /// The lease is not held any more.
    Lost,
}

impl Heartbeat {
    pub(crate) fn new(redis: Redis, config: &Config, stop: CancellationToken) -> Self {
        let beat = Beat { redis, every: config.heartbeat, lease: config.lease, stop, held: Mutex::default() };
        Self { beat: Arc::new(beat), started: AtomicBool::new(false) }
    }

    /// Keeps a lease from now on. The first one starts the thread.
    pub(crate) fn hold(&self, tag: Arc<str>, id: String, token: u64) -> Lease {
        let (key, state) = ((tag, id, token), Arc::new(State::default()));
        self.beat.held().insert(key.clone(), Arc::clone(&state));
        if !self.started.swap(true, Ordering::SeqCst) {
            let beat = Arc::clone(&self.beat);
            let thread = std::thread::Builder::new().name("queue-heartbeat".to_owned()).spawn(move || beat.run());
            if let Err(error) = thread {
                // Without it leases run out and the work is done again elsewhere: bad, not wrong.
                tracing::error!(error = &error as &dyn std::error::Error, "the heartbeat thread did not start");
                self.started.store(false, Ordering::SeqCst);
            }
        }
        Lease { beat: Arc::clone(&self.beat), key, state }
    }
}

impl Lease {
    /// Waits until the work should stop, and tells why.
    pub(crate) async fn ended(&self) -> Ended {
        self.state.ended.cancelled().await;
        self.state.why.get().cloned().unwrap_or(Ended::Lost)
    }

    /// Lets it run out.
    pub(crate) fn give_up(&self) {
        self.beat.held().remove(&self.key);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Beat {
    fn run(&self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the heartbeat has no runtime");
                return;
            }
        };
        runtime.block_on(async {
            let mut connections = HashMap::new();
            while !self.stop.is_cancelled() {
                self.beat(&mut connections).await;
                tokio::select! {
                    () = tokio::time::sleep(self.every) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        });
    }

    /// Extends every lease once. The connections belong to this thread, so that nothing else holds them up.
    async fn beat(&self, connections: &mut HashMap<Arc<str>, Blocking>) {
        let mut by_tag: HashMap<Arc<str>, Vec<(Key, Arc<State>)>> = HashMap::new();
        for (key, state) in self.held().iter() {
            by_tag.entry(Arc::clone(&key.0)).or_default().push((key.clone(), Arc::clone(state)));
        }
        for (tag, leases) in by_tag {
            // In a cluster the partitions lie on several servers.
            let node = if self.redis.is_cluster() { Arc::clone(&tag) } else { "".into() };
            for chunk in leases.chunks(MOST) {
                let extending = self.extend(connections, &node, &tag, chunk);
                // Half a lease: later it would be too late anyway, and the connection is likely dead.
                let failed = match tokio::time::timeout(self.lease / 2, extending).await {
                    Ok(Ok(())) => false,
                    Ok(Err(error)) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "leases were not extended");
                        true
                    }
                    Err(_) => true,
                };
                if failed {
                    connections.remove(&node);
                }
            }
        }
    }

    async fn extend(
        &self,
        connections: &mut HashMap<Arc<str>, Blocking>,
        node: &Arc<str>,
        tag: &str,
        leases: &[(Key, Arc<State>)],
    ) -> Result<(), broker::Error> {
        // The text whole, on a connection of its own: a server that forgot its scripts takes no second question.
        let leases_of_these = leases.iter().map(|((_, id, token), _)| (id.as_str(), *token));
        let command = extension(tag, self.lease, leases_of_these);
        if !connections.contains_key(node) {
            connections.insert(Arc::clone(node), self.redis.blocking(tag).await?);
        }
        let Some(connection) = connections.get_mut(node) else { return Ok(()) };
        let answers: Vec<String> = connection.query(&command).await?;
        for ((_, state), answer) in leases.iter().zip(answers) {
            let why = match Extended::read(&answer) {
                Extended::Ok => continue,
                Extended::Lost => Ended::Lost,
                Extended::Cancelled(reason) => Ended::Cancelled(reason),
            };
            let _ = state.why.set(why);
            state.ended.cancel();
        }
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<State>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
