//! Claims actions of a domain and runs their handlers.

mod claims;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use action::{Contract, Domain};
use fault::Fault;
use proto::action::v1::Callback;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Claimed;
use crate::handler::{Handlers, Verdict};
use crate::part::Part;
use crate::queue::{Inner, Queue};
use crate::run::Run;
use crate::slots::{Slots, Taken};
use crate::work::Work;
use claims::Claims;

/// Most actions of one claim.
const MOST: usize = 64;
/// Longest wait for something to do, or for a free slot, between signs of life.
const PATIENCE: Duration = Duration::from_secs(5);

/// Claims actions of one domain, runs their handlers and settles them.
pub struct Worker {
    queue: Queue,
    domain: Domain,
    slots: usize,
    handlers: Handlers,
}

impl Worker {
    /// Makes a worker that runs up to `slots` handlers at once.
    pub fn new(queue: Queue, domain: Domain, slots: usize) -> Self {
        Self { queue, domain, slots: slots.clamp(1, 10_000), handlers: Handlers::default() }
    }

    /// Adds the handler of an action type. It gets the work and the payload and returns `Result<R, E>`: the reply, or a
    /// [`crate::Completed`] one, or a [`Fault`]. A transient failure is tried again as long as attempts and time are left.
    #[must_use]
    pub fn on<C, F, Fut, V>(mut self, handler: F) -> Self
    where
        C: Contract,
        F: Fn(Work, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Verdict<C::Reply>,
    {
        self.handlers.on::<C, F, Fut, V>(handler);
        self
    }

    /// Adds the handler of the outcomes that come to this domain. `Ok` takes one off the queue; a transient failure is tried
    /// again later.
    #[must_use]
    pub fn on_callback<F, Fut, E>(mut self, handler: F) -> Self
    where
        F: Fn(Work, Callback) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Fault + Send + 'static,
    {
        self.handlers.on_callback(handler);
        self
    }

    /// Claims and runs until `shutdown`. Then it takes nothing new, waits for what runs as long as the configuration's
    /// grace, and gives the rest back to be done by others, without an attempt being counted.
    pub async fn run(self, shutdown: CancellationToken) {
        let crew = Crew::new(self.queue.inner, self.handlers, Slots::fixed(self.slots));
        crew.work(self.domain, shutdown).await;
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("domain", &self.domain).field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// What all deliveries of a worker share.
pub(crate) struct Crew {
    pub(crate) inner: Arc<Inner>,
    pub(crate) handlers: Handlers,
    slots: Slots,
    /// Loops that claim.
    loops: AtomicUsize,
    running: TaskTracker,
    /// Tells what still runs at the end of the grace to give its action back.
    pub(crate) release: CancellationToken,
}

impl Crew {
    pub(crate) fn new(inner: Arc<Inner>, handlers: Handlers, slots: Slots) -> Arc<Self> {
        let (loops, running, release) = (AtomicUsize::new(0), TaskTracker::new(), CancellationToken::new());
        Arc::new(Self { inner, handlers, slots, loops, running, release })
    }

    /// Claims from every partition of a domain until `shutdown`, then waits for what runs.
    pub(crate) async fn work(self: Arc<Self>, domain: Domain, shutdown: CancellationToken) {
        let mut loops = JoinSet::new();
        let mut changes = self.inner.spreads.changes();
        while !shutdown.is_cancelled() {
            // Partitions that were added while this worker runs are claimed from as well.
            for part in self.inner.parts_of(domain).into_iter().skip(loops.len()) {
                let (crew, pulse, shutdown) = (Arc::clone(&self), self.inner.loops.enter(domain), shutdown.clone());
                self.loops.store(loops.len() + 1, Ordering::Relaxed);
                loops.spawn(Claims::new(crew, part, pulse, shutdown).run());
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = shutdown.cancelled() => {}
            }
        }
        while let Some(ended) = loops.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "a claim loop panicked");
            }
        }
        self.drain().await;
    }

    fn start(self: &Arc<Self>, part: &Arc<Part>, claimed: Claimed, received: Instant, mut taken: Taken) {
        for leased in claimed.leased {
            let slot = taken.use_one();
            let run = Run::new(Arc::clone(self), Arc::clone(part), leased, (claimed.now, received));
            self.running.spawn(async move {
                run.run().await;
                drop(slot);
            });
        }
    }

    async fn drain(&self) {
        self.running.close();
        if tokio::time::timeout(self.inner.config.grace, self.running.wait()).await.is_err() {
            self.release.cancel();
            // Giving back is one script; a Redis that is away gives back by itself when the leases end.
            let _ = tokio::time::timeout(PATIENCE, self.running.wait()).await;
        }
    }
}
