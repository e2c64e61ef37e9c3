//! What the tests share: a Redis, a queue with quick settings, actions, workers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use action::{Action, Domain, ExecutionContext, Status, TaskId, TenantId, Tier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::action::v1::Callback;
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use proto::task::v1::Task;
use queue::{Config, Queue, Worker};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Setup {
    pub(crate) redis: testkit::Redis,
    pub(crate) queue: Queue,
    running: Vec<(CancellationToken, JoinHandle<()>)>,
}

/// Settings with which tests do not wait long for what takes seconds in the product.
pub(crate) fn quick() -> Config {
    Config {
        lease: Duration::from_secs(2),
        heartbeat: Duration::from_millis(100),
        retry_base: Duration::from_millis(20),
        retry_cap: Duration::from_millis(100),
        grace: Duration::from_millis(300),
        tick: Duration::from_millis(100),
        ..Config::default()
    }
}

impl Setup {
    pub(crate) async fn start() -> Self {
        Self::start_with(quick()).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        Self::start_on(testkit::Redis::start().await, config).await
    }

    pub(crate) async fn start_on(redis: testkit::Redis, config: Config) -> Self {
        let queue = queue_on(&redis, config).await;
        Self { redis, queue, running: Vec::new() }
    }

    pub(crate) fn run(&mut self, worker: Worker) -> CancellationToken {
        let stop = CancellationToken::new();
        self.running.push((stop.clone(), tokio::spawn(worker.run(stop.clone()))));
        stop
    }

    /// Runs a worker of the orchestrator that collects the outcomes.
    pub(crate) fn collect(&mut self) -> Arc<Mutex<Vec<Callback>>> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let worker = Worker::new(self.queue.clone(), Domain::Orchestrator, 4).on_callback({
            let seen = Arc::clone(&seen);
            move |_, callback| {
                seen.lock().unwrap().push(callback);
                async { Ok::<(), fault::Failure>(()) }
            }
        });
        self.run(worker);
        seen
    }

    /// Waits until the task has ended and returns it.
    pub(crate) async fn ended(&self, tenant: &TenantId, task: TaskId) -> Task {
        testkit::eventually(PATIENCE, || async {
            let task = self.queue.task(tenant, task).await.unwrap().expect("the task is known");
            !matches!(task.status(), Status::Pending | Status::Running)
        })
        .await;
        self.queue.task(tenant, task).await.unwrap().expect("the task is known")
    }

    /// Stops the workers and checks that nothing contradicts the invariants and nothing is left over.
    pub(crate) async fn finish(mut self) {
        self.stop().await;
        for domain in Domain::ALL {
            assert_eq!(self.queue.check(domain).await.unwrap(), Vec::<String>::new(), "{domain}");
            let stats = self.queue.stats(domain).await.unwrap();
            assert_eq!(stats.in_flight, 0, "{domain}: {stats:?}");
        }
        self.queue.drain().await;
    }

    pub(crate) async fn stop(&mut self) {
        for (stop, _) in &self.running {
            stop.cancel();
        }
        for (_, task) in self.running.drain(..) {
            task.await.unwrap();
        }
    }
}

pub(crate) async fn queue_on(redis: &testkit::Redis, config: Config) -> Queue {
    let redis = broker::Redis::connect(&redis.url()).await.unwrap();
    Queue::start(redis, config).await.unwrap()
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// A search of a tenant in the context of an agent.
pub(crate) fn search(tenant: &TenantId, tier: Tier, query: &str) -> Action {
    search_by("agent-1", tenant, tier, query)
}

pub(crate) fn search_by(agent: &str, tenant: &TenantId, tier: Tier, query: &str) -> Action {
    let context = ExecutionContext::agent(agent.parse().unwrap());
    let payload = SearchPassages { query: query.to_owned(), ..SearchPassages::default() };
    Action::root(tenant.clone(), tier, context, &payload)
}

/// A worker of queries whose searches are answered at once.
pub(crate) fn searcher(queue: &Queue, slots: usize) -> Worker {
    Worker::new(queue.clone(), Domain::Query, slots)
        .on::<SearchPassages, _, _, _>(|_, _| async { Ok::<_, fault::Failure>(SearchPassagesResult::default()) })
}

pub(crate) fn names(task: &Task) -> Vec<String> {
    task.events.iter().map(|event| event.name.clone()).collect()
}

/// The id of an action as it stands in keys.
pub(crate) fn entry_id(action: &Action) -> String {
    URL_SAFE_NO_PAD.encode(action.id.as_bytes())
}

/// The key of the body of a search.
pub(crate) fn body_of(action: &Action) -> String {
    format!("{{nq:query:0}}:b:{}", entry_id(action))
}
