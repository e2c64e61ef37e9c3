//! The handle on the tier queues, and what runs behind it in every process.

use std::sync::{Arc, Weak};
use std::time::{Duration, UNIX_EPOCH};

use action::{Action, Domain, QueueName, TaskId, TenantId, Tier};
use broker::Redis;
use proto::queue::v1::{DeadLetter, DomainStats};
use proto::task::v1::Task;
use telemetry::Instrument as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::durable::Confirm;
use crate::engine::{Cancelled, Note, Placed, Ticked};
use crate::heartbeat::Heartbeat;
use crate::inbox::Inbox;
use crate::loops::Loops;
use crate::monitor::Monitor;
use crate::part::Part;
use crate::rate::Rates;
use crate::spread::Spreads;
use crate::{Config, Error, Options, When, keys, letters, outcome, record, relay, stats, stored, trace};

/// What submitting an action answers.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The task; for an action that is not a root, the task that it belongs to, as far as the action tells.
    pub task: Task,
    /// Queue that the action went to.
    pub queue_name: QueueName,
    /// Place in that queue, 1 for the next one; 0 when it was known already and is not waiting any more.
    pub position: u64,
    /// The action: the one that was submitted, or the one that was known by its id or idempotency key.
    pub action_id: action::ActionId,
    /// Whether it was known already.
    pub known: bool,
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
    pub(crate) spreads: Spreads,
}

impl Queue {
    /// Checks the server and starts what every process needs: replies, statistics, and looking after tasks.
    ///
    /// It refuses a server older than 7.0 and one that may evict keys, and warns about one without an append-only file.
    pub async fn start(redis: Redis, config: Config) -> Result<Self, Error> {
        let confirms = check_server(&redis, &config).await?;
        let (tracker, stop, abandon) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let config = Arc::new(config);
        let process = Uuid::new_v4().simple().to_string();
        let spreads =
            Spreads::start(redis.clone(), Arc::clone(&config), tracker.clone(), abandon.clone(), confirms).await?;
        let inner = Arc::new(Inner {
            spreads,
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

    /// Puts an action into its queue as the configuration says. The same id twice is one action.
    pub async fn submit(&self, action: Action) -> Result<Submitted, Error> {
        self.submit_with(action, &Options::default()).await
    }

    /// Puts actions into their queues. What goes to one partition goes in one step; one that is refused does not hinder the
    /// others. One answer an action, in order.
    pub async fn submit_all(&self, actions: Vec<Action>) -> Vec<Result<Submitted, Error>> {
        futures::future::join_all(actions.into_iter().map(|action| self.submit(action))).await
    }

    /// Puts an action into its queue, as the options say. A root action gets the record of its task. The same id twice, or the
    /// same idempotency key, is one action.
    pub async fn submit_with(&self, mut action: Action, options: &Options) -> Result<Submitted, Error> {
        action.check()?;
        check_callback(&action)?;
        let queue = action.queue()?;
        let options = &self.by_redis_clock(options).await?;
        let span = trace::send(&action, &queue);
        if let Some(trace) = trace::inside(&span) {
            action.trace = trace;
        }
        let placed = self.place(&action, options, &queue).instrument(span).await?;
        let known_as = if placed.new { None } else { keys::read_entry_id(&placed.id) };
        let action_id = known_as.unwrap_or(action.id);
        let task = if placed.new || (!action.is_root() && action_id == action.id) {
            record::fresh(&action, &queue, placed.at)
        } else {
            let known = self.task(&action.tenant, action_id.task()).await?;
            known.unwrap_or_else(|| record::fresh(&action, &queue, placed.at))
        };
        Ok(Submitted { task, queue_name: queue, position: placed.position, action_id, known: !placed.new })
    }

    /// Turns a moment into a time from now, by the one clock that decides.
    async fn by_redis_clock(&self, options: &Options) -> Result<Options, Error> {
        let When::At(moment) = options.when else { return Ok(options.clone()) };
        let (seconds, micros): (u64, u64) = self.inner.redis.query(&redis::cmd("TIME")).await?;
        let now = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
        let ahead = moment.duration_since(now).unwrap_or_default();
        Ok(Options { when: When::After(ahead), ..options.clone() })
    }

    /// Tells whether an action can be submitted at all, before anybody is charged for it.
    pub fn fits(&self, action: &Action) -> Result<(), Error> {
        action.check()?;
        check_callback(action)?;
        action.queue()?;
        stored::entry_of(action, &Options::default(), &self.inner.config).map(drop)
    }

    async fn place(&self, action: &Action, options: &Options, queue: &QueueName) -> Result<Placed, Error> {
        let entry = stored::entry_of(action, options, &self.inner.config)?;
        let placed = self.inner.part(queue.domain(), action.tenant.as_str()).submit(entry).await;
        if let Err(Error::Full { .. }) = &placed {
            telemetry::metric::queue::refused(queue.domain().as_str(), action.tier.as_str());
        }
        let placed = placed?;
        if placed.new {
            self.inner.monitor.enqueued(queue, placed.at / 1_000);
            telemetry::metric::queue::enqueued(queue.domain().as_str(), action.tier.as_str());
        }
        Ok(placed)
    }

    /// Returns a task of a tenant. Tasks of others do not exist.
    pub async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>, Error> {
        record::find(&self.inner, tenant, task).await
    }

    /// Lists those of a tenant's tasks that are wanted, newest first, without results and timelines, and tells where to go on
    /// (empty at the end).
    pub async fn tasks(
        &self,
        tenant: &TenantId,
        wanted: impl Fn(&Task) -> bool,
        page_size: usize,
        page_token: &str,
    ) -> Result<(Vec<Task>, String), Error> {
        record::list(&self.inner, tenant, wanted, page_size, page_token).await
    }

    /// Cancels a task and returns it as it is then: a waiting one has ended, a running one learns of it within about a
    /// second. None when the tenant has no such task; [`Error::Finished`] when it has ended before.
    pub async fn cancel(&self, tenant: &TenantId, task: TaskId, reason: &str) -> Result<Option<Task>, Error> {
        let Some(part) = record::part_of(&self.inner, tenant, task).await? else { return Ok(None) };
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        match part.engine.cancel(0, &outcome::record_id(task), Some(tenant.as_str()), &reason).await? {
            Cancelled::Unknown => return Ok(None),
            Cancelled::Finished => return Err(Error::Finished),
            // The outcome lies in the outbox since now, and there is no worker that hands it over at once.
            Cancelled::Done => self.inner.sweep_soon(&part),
            Cancelled::Flagged => {}
        }
        self.task(tenant, task).await
    }

    /// Adds an event to a task's timeline, e.g. `delivered`. An unknown task is left alone.
    pub async fn note(&self, tenant: &TenantId, task: TaskId, event: &str) -> Result<(), Error> {
        let Some(part) = record::part_of(&self.inner, tenant, task).await? else { return Ok(()) };
        let event: String = event.chars().filter(|c| !c.is_control()).take(100).collect();
        let id = outcome::record_id(task);
        let note =
            Note { task: &id, tenant: tenant.as_str(), event: &event, domain: "", attempt: 0, stage: "", token: None };
        part.engine.note(0, &note).await?;
        Ok(())
    }

    /// Returns what a domain's queues hold. The ages are what a bounded look at the heads of queues tells.
    pub async fn stats(&self, domain: Domain) -> Result<DomainStats, Error> {
        stats::of(&self.inner, domain).await
    }

    /// Lists the dead letters of a domain, oldest first, and tells where to go on (empty at the end).
    pub async fn dead_letters(
        &self,
        domain: Domain,
        letters: &crate::Letters,
        page_size: usize,
        page_token: &str,
    ) -> Result<(Vec<DeadLetter>, String), Error> {
        letters::list(&self.inner, domain, letters, page_size, page_token).await
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
        for domain in Domain::ALL {
            for part in self.inner.parts_of(domain) {
                part.flush().await;
            }
        }
        self.inner.abandon.cancel();
    }
}

impl Inner {
    /// Returns the partition of a domain that a tenant's actions go to.
    pub(crate) fn part(&self, domain: Domain, tenant: &str) -> Arc<Part> {
        Arc::clone(self.spreads.of(domain).home(tenant))
    }

    /// Returns all partitions of a domain.
    pub(crate) fn parts_of(&self, domain: Domain) -> Vec<Arc<Part>> {
        self.spreads.of(domain).parts.clone()
    }

    /// Hands over, in the background, what a script put into the outbox on behalf of this process.
    pub(crate) fn sweep_soon(self: &Arc<Self>, part: &Arc<Part>) {
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

/// Checks that the server can hold queues, and returns what a submit waits for, by domain.
async fn check_server(redis: &Redis, config: &Config) -> Result<Vec<Confirm>, Error> {
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
    Domain::ALL.into_iter().map(|domain| Confirm::needed(config.durability(domain), &server)).collect()
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
        let ticking = async {
            inner.spreads.refresh().await?;
            for domain in Domain::ALL {
                tick(&inner, domain).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = ticking.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a tick is left out");
        }
    }
}

async fn tick(inner: &Arc<Inner>, domain: Domain) -> Result<(), Error> {
    let mut whole: Option<Ticked> = None;
    for part in inner.parts_of(domain) {
        let ticked = part.engine.tick(0).await?;
        if ticked.oldest_outcome > 0 {
            relay::sweep(inner, &part).await?;
        }
        whole = Some(match whole {
            Some(before) => before.and(&ticked),
            None => ticked,
        });
    }
    let Some(whole) = whole else { return Ok(()) };
    whole.tell(domain);
    inner.rates.observe(domain, whole);
    Ok(())
}
