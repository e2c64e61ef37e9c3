//! Claims actions of a domain and runs their handlers.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action::{Contract, Domain};
use broker::Blocking;
use fault::Fault;
use proto::action::v1::Callback;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Claimed;
use crate::handler::{Handlers, Verdict};
use crate::loops::Pulse;
use crate::part::Part;
use crate::queue::{Inner, Queue};
use crate::retry::Backoff;
use crate::run::Run;
use crate::slots::{Slots, Taken};
use crate::work::Work;
use crate::{Error, relay};

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
    running: TaskTracker,
    /// Tells what still runs at the end of the grace to give its action back.
    pub(crate) release: CancellationToken,
}

impl Crew {
    pub(crate) fn new(inner: Arc<Inner>, handlers: Handlers, slots: Slots) -> Arc<Self> {
        Arc::new(Self { inner, handlers, slots, running: TaskTracker::new(), release: CancellationToken::new() })
    }

    /// Claims from every partition of a domain until `shutdown`, then waits for what runs.
    pub(crate) async fn work(self: Arc<Self>, domain: Domain, shutdown: CancellationToken) {
        let mut loops = JoinSet::new();
        let mut changes = self.inner.spreads.changes();
        while !shutdown.is_cancelled() {
            // Partitions that were added while this worker runs are claimed from as well.
            for part in self.inner.parts_of(domain).into_iter().skip(loops.len()) {
                let (crew, pulse, shutdown) = (Arc::clone(&self), self.inner.loops.enter(domain), shutdown.clone());
                loops.spawn(Claims { crew, part, pulse, shutdown, waiting: None, woken: false }.run());
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

/// The loop that claims from one partition.
struct Claims {
    crew: Arc<Crew>,
    part: Arc<Part>,
    pulse: Arc<Pulse>,
    shutdown: CancellationToken,
    /// Connection that waits for the wake token.
    waiting: Option<Blocking>,
    /// Whether it took the token and has not claimed since.
    woken: bool,
}

impl Claims {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.shutdown.is_cancelled() {
            let Some(taken) = self.free_slots().await else { continue };
            if let Err(error) = self.turn(taken).await {
                tracing::warn!(domain = %self.part.domain, error = &error as &dyn std::error::Error, "claiming is tried again");
                self.waiting = None;
                tokio::select! {
                    () = backoff.wait() => {}
                    () = self.shutdown.cancelled() => {}
                }
            } else {
                backoff.reset();
            }
        }
        // The token that this loop may just have taken is left for another worker.
        self.leave_token().await;
    }

    /// Claims once for all free slots; when there was less than that, waits for more.
    async fn turn(&mut self, taken: Taken) -> Result<(), Error> {
        let asked = taken.len();
        let claimed = self.part.engine.claim(0, asked).await?;
        self.woken = false;
        let received = Instant::now();
        self.pulse.beat();
        let (now, next, count) = (claimed.now, claimed.next, claimed.leased.len());
        self.crew.start(&self.part, claimed, received, taken);
        if count == asked {
            return Ok(());
        }
        if next > 0 && next <= now {
            // The only thing that is due after a claim lies in the outbox.
            return relay::sweep(&self.crew.inner, &self.part).await;
        }
        let until_next = if next > 0 { Duration::from_millis(next - now) } else { PATIENCE };
        self.wait(until_next.min(PATIENCE)).await
    }

    /// Waits for one free slot and takes all that are free. None after a while without one, or at the end.
    async fn free_slots(&mut self) -> Option<Taken> {
        let slots = &self.crew.slots;
        let mut taken = slots.try_take(MOST);
        if taken.is_none() {
            if std::mem::take(&mut self.woken) {
                // The token that this loop took is for whoever has a slot.
                self.leave_token().await;
            }
            taken = tokio::select! {
                taken = slots.take(MOST) => taken,
                () = tokio::time::sleep(PATIENCE) => None,
                () = self.shutdown.cancelled() => return None,
            };
        }
        self.pulse.beat();
        taken
    }

    async fn leave_token(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.part.engine.claim(0, 0)).await;
    }

    /// Waits until somebody leaves a token, the time is over, or the worker stops.
    async fn wait(&mut self, most: Duration) -> Result<(), Error> {
        let most = most.max(Duration::from_millis(1));
        if self.waiting.is_none() {
            self.waiting = Some(self.crew.inner.redis.blocking(self.part.engine.tag()).await?);
        }
        let Some(connection) = self.waiting.as_mut() else { return Ok(()) };
        let mut command = redis::cmd("BLPOP");
        command.arg(format!("{}wake", self.part.engine.tag())).arg(format!("{:.3}", most.as_secs_f64()));
        let popped = tokio::select! {
            popped = tokio::time::timeout(most + Duration::from_secs(2), connection.query::<redis::Value>(&command)) => popped,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        match popped {
            Ok(Ok(value)) => {
                self.woken = value != redis::Value::Nil;
                self.pulse.beat();
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            // A command that is late by two seconds has lost its connection.
            Err(_) => {
                self.waiting = None;
                Ok(())
            }
        }
    }
}
