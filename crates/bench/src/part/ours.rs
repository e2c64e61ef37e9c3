//! The only file that knows the queue crate: what the scenarios need of it, in their words.

use std::future::Future;
use std::sync::Arc;

use action::{Action, ActionId, Domain, ExecutionContext, TenantId, Tier};
use anyhow::{Context as _, Result};
use broker::Redis;
use fault::Failure;
use proto::execution::v1::AgentRun;
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use queue::{Config, Queue, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Numbers;

/// The domain whose queues are measured.
const DOMAIN: Domain = Domain::Query;
/// More than any scenario puts into one queue; a limit is looked at like any other.
const DEPTH: u64 = 1_000_000;

/// The queue crate on the Redis of the benchmark.
#[derive(Clone)]
pub(super) struct Ours {
    queue: Queue,
}

impl Ours {
    /// Connects with the product's own settings, but for the depth of queues: a scenario may put all its jobs into one.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let redis = Redis::connect(url).await.context("connect to Redis")?;
        let mut config = Config::default();
        config.limits.queue_depth = DEPTH;
        config.limits.tenant_depth = DEPTH;
        let queue = Queue::start(redis, config).await.context("start the queue")?;
        Ok(Self { queue })
    }

    /// Submits one job and waits until it is accepted.
    pub(super) async fn submit(&self, action: Action) -> Result<()> {
        self.queue.submit(action).await?;
        Ok(())
    }

    /// Submits many jobs and waits until all are accepted.
    pub(super) async fn submit_all(&self, actions: Vec<Action>) -> Result<()> {
        // One call a job, all in flight together: the crate commits them in groups.
        futures::future::try_join_all(actions.into_iter().map(|action| self.queue.submit(action))).await?;
        Ok(())
    }

    /// Starts a worker that calls `handle` with the number of each job.
    pub(super) fn work<F, Fut>(&self, concurrency: usize, handle: F) -> Crew
    where
        F: Fn(usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let worker = Worker::new(self.queue.clone(), DOMAIN, concurrency).on::<SearchPassages, _, _, _>(
            move |_work, search: SearchPassages| {
                let running = handle(number_of(&search.query));
                async move {
                    running.await;
                    Ok::<_, Failure>(SearchPassagesResult::default())
                }
            },
        );
        let mut running = JoinSet::new();
        running.spawn(worker.run(stop.clone()));
        Crew { stop, running }
    }

    /// Waits until everything that was claimed is settled.
    pub(super) async fn settled(&self) -> Result<()> {
        while self.queue.stats(DOMAIN).await?.in_flight > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// A running worker. It ends at once when this is dropped.
pub(super) struct Crew {
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl Crew {
    /// Ends it in order.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.running.join_all().await;
    }
}

/// Makes the jobs of a scenario by number: spread over tiers, then tenants, then contexts.
#[derive(Clone)]
pub(super) struct Jobs {
    tenants: Arc<[TenantId]>,
    contexts: Arc<[ExecutionContext]>,
    tiers: usize,
    payload: usize,
    recorded: bool,
    chat: bool,
}

impl Jobs {
    /// Prepares the tenants and contexts.
    pub(super) fn new(numbers: &Numbers) -> Result<Self> {
        let context = |i: usize| Ok(ExecutionContext::agent(format!("agent-{i}").parse()?));
        let tiers = numbers.tiers.clamp(1, 4);
        // A tenant has one tier, so every tier has tenants of its own.
        let tenants = (0..numbers.tenants_per_tier.max(1) * tiers).map(|i| format!("tenant-{i}").parse());
        Ok(Self {
            tenants: tenants.collect::<Result<_, _>>()?,
            contexts: (0..numbers.contexts.max(1)).map(context).collect::<Result<_>>()?,
            tiers,
            payload: numbers.payload,
            recorded: numbers.recorded,
            chat: numbers.chat,
        })
    }

    /// Makes job number `i`.
    pub(super) fn make(&self, i: usize) -> Action {
        let tenant = i % self.tenants.len();
        let context = &self.contexts[i / self.tenants.len() % self.contexts.len()];
        self.of(&self.tenants[tenant], Tier::ALL[tenant % self.tiers], context, i)
    }

    /// Makes a job of the tenant with this number, in the tier below the highest.
    pub(super) fn of_tenant(&self, tenant: usize, i: usize) -> Action {
        self.of(&self.tenants[tenant], Tier::Professional, &self.contexts[i % self.contexts.len()], i)
    }

    fn of(&self, tenant: &TenantId, tier: Tier, context: &ExecutionContext, i: usize) -> Action {
        if self.chat {
            return chat(tenant, tier, context, i);
        }
        let search = SearchPassages { query: query_of(i, self.payload), ..SearchPassages::default() };
        let mut action = Action::root(tenant.clone(), tier, context.clone(), &search);
        // Nobody is told, as nobody is told by the peers.
        action.callback = None;
        if !self.recorded {
            // What is not the root of its task has no record.
            action.id = ActionId::new();
        }
        action
    }
}

/// The action of a chat as the orchestrator makes it: recorded, with session, user, trace and callback.
fn chat(tenant: &TenantId, tier: Tier, context: &ExecutionContext, i: usize) -> Action {
    let run = AgentRun {
        message: format!("How many requests per minute may a tenant like number {i} make, and what happens then?"),
        ..AgentRun::default()
    };
    let mut action = Action::root(tenant.clone(), tier, context.clone(), &run);
    action.session = format!("session-{i:08}").parse().ok();
    action.user = format!("user-{i:08}").parse().ok();
    action.trace.parent = format!("00-{i:032x}-{i:016x}-01");
    action
}

fn query_of(i: usize, length: usize) -> String {
    let mut query = format!("{i:08}");
    query.extend(std::iter::repeat_n('x', length.saturating_sub(query.len())));
    query
}

fn number_of(query: &str) -> usize {
    query.get(..8).and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        Numbers { tenants_per_tier: 3, tiers: 4, contexts: 2, payload: 20, ..Numbers::default() }
    }

    #[test]
    fn a_job_carries_its_number_in_a_payload_of_the_length_asked_for() {
        let action = Jobs::new(&numbers()).unwrap().make(17);
        let search: SearchPassages = action.payload().unwrap();
        assert_eq!((number_of(&search.query), search.query.len()), (17, 20));
        assert!(!action.is_root() && action.callback.is_none());
    }

    #[test]
    fn jobs_go_to_all_tiers_and_a_tenant_stays_in_its_own() {
        let jobs = Jobs::new(&numbers()).unwrap();
        let mut tier_of = std::collections::HashMap::new();
        for i in 0..100 {
            let action = jobs.make(i);
            assert_eq!(*tier_of.entry(action.tenant.clone()).or_insert(action.tier), action.tier);
            assert_eq!(action.tier, Tier::ALL[i % 4]);
        }
        assert_eq!(tier_of.len(), 12);
        assert!(Tier::ALL.iter().all(|tier| tier_of.values().filter(|of| *of == tier).count() == 3));
    }
}
