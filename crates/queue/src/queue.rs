//! The handle on the tier queues, and what runs behind it in every process.

use std::sync::{Arc, Weak};
use std::time::Duration;

use action::{Action, Domain, QueueName, Status, TaskId, TenantId, Tier};
use broker::Redis;
use proto::queue::v1::{DeadLetter, DomainStats};
use proto::task::v1::Task;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::engine::{Cancelled, Note, Placed};
use crate::heartbeat::Heartbeat;
use crate::inbox::Inbox;
use crate::loops::Loops;
use crate::monitor::Monitor;
use crate::part::Part;
use crate::rate::Rates;
use crate::{Config, Error, admin, keys, outcome, record, relay, stored, trace};

/// What submitting an action answers.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The task; for an action that is not a root, the task that it belongs to, as far as the action tells.
    pub task: Task,
    /// Queue that the action went to.
    pub queue_name: QueueName,
    /// Place in that queue, 1 for the next one; 0 when it was known already and is not waiting any more.
    pub position: u64,
}

/// A handle on the tier queues of one Redis. Cloning is cheap.
#[derive(Clone)]
pub struct Queue {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) redis: Redis,
    pub(crate) config: Arc<Config>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) inbox: Inbox,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) loops: Loops,
    /// What is started in the background and outlived by nobody.
    pub(crate) tracker: TaskTracker,
    /// Where it is started, also from a `drop` outside of the runtime.
    pub(crate) handle: Handle,
    /// Ends what runs for ever.
    pub(crate) stop: CancellationToken,
    /// Ends what waits for a Redis that is away.
    abandon: CancellationToken,
    rates: Rates,
    parts: Vec<Arc<Part>>,
}

impl Queue {
    /// Checks the server and starts what every process needs: replies, statistics, and looking after tasks.
    ///
    /// It refuses a server older than 7.0 and one that may evict keys, and warns about one without an append-only file.
    pub async fn start(redis: Redis, config: Config) -> Result<Self, Error> {
        check_server(&redis).await?;
        let (tracker, stop, abandon) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let config = Arc::new(config);
        let process = Uuid::new_v4().simple().to_string();
        let part = |domain, partition| Arc::new(Part::start(&redis, (domain, partition), &config, &tracker, &abandon));
        let parts = Domain::ALL.into_iter().flat_map(|domain| (0..keys::PARTITIONS).map(move |p| (domain, p)));
        let inner = Arc::new(Inner {
            parts: parts.map(|(domain, partition)| part(domain, partition)).collect(),
            inbox: Inbox::new(redis.clone(), &process),
            heartbeat: Heartbeat::new(redis.clone(), &config, stop.clone()),
            monitor: Arc::default(),
            loops: Loops::default(),
            rates: Rates::default(),
            handle: Handle::current(),
            redis,
            config,
            tracker,
            stop,
            abandon,
        });
        let (monitor, redis, stop) = (Arc::clone(&inner.monitor), inner.redis.clone(), inner.stop.clone());
        inner.tracker.spawn(async move { monitor.run(&redis, &stop).await });
        inner.tracker.spawn(look_after(Arc::downgrade(&inner), inner.stop.clone(), inner.config.tick));
        Ok(Self { inner })
    }

    /// Puts an action into its queue. A root action gets the record of its task. The same id twice is one action.
    pub async fn submit(&self, mut action: Action) -> Result<Submitted, Error> {
        action.check()?;
        check_callback(&action)?;
        let queue = action.queue()?;
        let span = trace::send(&action, &queue);
        if let Some(trace) = trace::inside(&span) {
            action.trace = trace;
        }
        let placed = self.place(&action, &queue).instrument(span).await?;
        let task = if placed.new || !action.is_root() {
            record::fresh(&action, &queue, placed.at)
        } else {
            let known = record::find(&self.inner, &action.tenant, action.task).await?;
            known.map_or_else(|| record::fresh(&action, &queue, placed.at), |(_, task)| task)
        };
        Ok(Submitted { task, queue_name: queue, position: placed.position })
    }

    /// Tells whether an action can be submitted at all, before anybody is charged for it.
    pub fn fits(&self, action: &Action) -> Result<(), Error> {
        action.check()?;
        check_callback(action)?;
        action.queue()?;
        stored::entry_of(action, &self.inner.config).map(drop)
    }

    async fn place(&self, action: &Action, queue: &QueueName) -> Result<Placed, Error> {
        let entry = stored::entry_of(action, &self.inner.config)?;
        let placed = self.inner.part(queue.domain(), action.tenant.as_str()).submit(entry).await?;
        if placed.new {
            self.inner.monitor.enqueued(queue, placed.at / 1_000);
            telemetry::metric::queue::enqueued(queue.domain().as_str(), action.tier.as_str());
        }
        Ok(placed)
    }

    /// Returns a task of a tenant. Tasks of others do not exist.
    pub async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>, Error> {
        Ok(record::find(&self.inner, tenant, task).await?.map(|(_, task)| task))
    }

    /// Lists a tenant's tasks, newest first, without results and timelines, and tells where to go on (empty at the end).
    pub async fn tasks(
        &self,
        tenant: &TenantId,
        status: Option<Status>,
        page_size: usize,
        page_token: &str,
    ) -> Result<(Vec<Task>, String), Error> {
        record::list(&self.inner, tenant, status, page_size, page_token).await
    }

    /// Cancels a task and returns it as it is then: a waiting one has ended, a running one learns of it within about a
    /// second. None when the tenant has no such task; [`Error::Finished`] when it has ended before.
    pub async fn cancel(&self, tenant: &TenantId, task: TaskId, reason: &str) -> Result<Option<Task>, Error> {
        let Some(domain) = record::domain_of(&self.inner, tenant, task).await? else { return Ok(None) };
        let part = self.inner.part(domain, tenant.as_str());
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        match part.engine.cancel(0, &outcome::record_id(task), Some(tenant.as_str()), &reason).await? {
            Cancelled::Unknown => return Ok(None),
            Cancelled::Finished => return Err(Error::Finished),
            // The outcome lies in the outbox since now, and there is no worker that hands it over at once.
            Cancelled::Done => self.inner.sweep_soon(part),
            Cancelled::Flagged => {}
        }
        self.task(tenant, task).await
    }

    /// Adds an event to a task's timeline, e.g. `delivered`. An unknown task is left alone.
    pub async fn note(&self, tenant: &TenantId, task: TaskId, event: &str) -> Result<(), Error> {
        let Some(domain) = record::domain_of(&self.inner, tenant, task).await? else { return Ok(()) };
        let event: String = event.chars().filter(|c| !c.is_control()).take(100).collect();
        let id = outcome::record_id(task);
        let note =
            Note { task: &id, tenant: tenant.as_str(), event: &event, domain: "", attempt: 0, stage: "", token: None };
        self.inner.part(domain, tenant.as_str()).engine.note(0, &note).await?;
        Ok(())
    }

    /// Returns what a domain's queues hold.
    pub async fn stats(&self, domain: Domain) -> Result<DomainStats, Error> {
        admin::stats(&self.inner, domain).await
    }

    /// Lists the dead letters of a domain, oldest first, and tells where to go on (empty at the end).
    pub async fn dead_letters(
        &self,
        domain: Domain,
        page_size: usize,
        page_token: &str,
    ) -> Result<(Vec<DeadLetter>, String), Error> {
        admin::dead_letters(&self.inner, domain, page_size, page_token).await
    }

    /// Estimates the time until the action at this place of a queue has ended, from the rate at which the domain worked
    /// lately; none before anything was measured.
    #[expect(clippy::unused_async, reason = "the estimate may come to be asked of Redis")]
    pub async fn estimate(&self, domain: Domain, tier: Tier, position: u64) -> Option<Duration> {
        self.inner.rates.estimate(domain, tier, position)
    }

    /// Tells whether every claim loop of the domain in this process ran within the last 10 s.
    pub fn healthy(&self, domain: Domain) -> bool {
        self.inner.loops.healthy(domain)
    }

    /// Finds what contradicts the invariants of a domain's queues, as texts `rule: subject`. It reads every key, so it is
    /// for tests and tools.
    pub async fn check(&self, domain: Domain) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for part in self.inner.parts_of(domain) {
            found.extend(part.engine.check().await?);
        }
        Ok(found)
    }

    /// Hands over what is settled, writes what is counted, and stops. Workers must have been stopped before.
    pub async fn drain(&self) {
        self.inner.stop.cancel();
        // Committers live as long as the handle; what they were given is written when the rest has ended.
        for part in &self.inner.parts {
            part.flush().await;
        }
        self.inner.abandon.cancel();
    }
}

impl Inner {
    /// Returns the partition of a domain that a tenant's actions lie in.
    pub(crate) fn part(&self, domain: Domain, tenant: &str) -> &Arc<Part> {
        &self.parts_of(domain)[keys::partition(tenant, keys::PARTITIONS) as usize]
    }

    /// Returns all partitions of a domain.
    pub(crate) fn parts_of(&self, domain: Domain) -> &[Arc<Part>] {
        let partitions = keys::PARTITIONS as usize;
        let first = domain as usize * partitions;
        &self.parts[first..first + partitions]
    }

    /// Hands over, in the background, what a script put into the outbox on behalf of this process.
    fn sweep_soon(self: &Arc<Self>, part: &Arc<Part>) {
        let (inner, part) = (Arc::clone(self), Arc::clone(part));
        let sweeping = async move {
            // What does not work now is found by a later sweep.
            if let Err(error) = relay::sweep(&inner, &part).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a sweep is left out");
            }
        };
        self.tracker.spawn_on(sweeping, &self.handle);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abandon.cancel();
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("inbox", &self.inner.inbox.key()).finish_non_exhaustive()
    }
}

async fn check_server(redis: &Redis) -> Result<(), Error> {
    let server = redis.server().await?;
    let major = server.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 7) {
        return Err(Error::Server(format!("version 7.0 or later is needed, this is {}", server.version)));
    }
    if server.evicts() {
        let text = format!("maxmemory-policy {} may throw queued work away; set noeviction", server.eviction);
        return Err(Error::Server(text));
    }
    if !server.aof {
        tracing::warn!("redis keeps no append-only file: queued work is lost when it crashes");
    }
    Ok(())
}

fn check_callback(action: &Action) -> Result<(), Error> {
    match &action.callback {
        None => Ok(()),
        Some(QueueName::Callbacks { tenant, .. }) if *tenant == action.tenant => Ok(()),
        Some(_) => Err(Error::ForeignCallback),
    }
}

/// Lets time act on every domain now and then, so that tasks end even when no worker runs, and hands over what a process
/// that is gone left behind.
async fn look_after(inner: Weak<Inner>, stop: CancellationToken, every: Duration) {
    loop {
        // Jittered, so that the processes of a deployment do not tick together.
        let wait = every.mul_f64(rand::random_range(0.8..1.2));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        let Some(inner) = inner.upgrade() else { return };
        for domain in Domain::ALL {
            for part in inner.parts_of(domain) {
                if let Err(error) = tick(&inner, part).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a tick is left out");
                    break;
                }
            }
        }
    }
}

async fn tick(inner: &Arc<Inner>, part: &Arc<Part>) -> Result<(), Error> {
    let ticked = part.engine.tick(0).await?;
    let due = ticked.oldest_outcome > 0;
    inner.rates.observe(part.domain, ticked);
    if due { relay::sweep(inner, part).await } else { Ok(()) }
}
