//! How well the process is: what probes, clients and load balancers are told.
//!
//! A named service tells the truth about what it depends on: Redis, asked every second, and the claim loops of its domain.
//! The empty name tells whether the process answers and is not draining, so that a broker that is away makes calls fail
//! with UNAVAILABLE rather than take every process out of rotation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

/// How often everything is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// A Redis that takes longer for a PING is as good as away.
const PING: Duration = Duration::from_secs(1);

type Check = Box<dyn Fn() -> bool + Send + Sync>;

/// The health of a process part. Cloning is cheap.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    reporter: HealthReporter,
    services: Mutex<BTreeMap<String, Watched>>,
    /// Held while clients are told, so that they are told in the order of what was seen.
    publishing: tokio::sync::Mutex<()>,
    redis: AtomicBool,
    started: AtomicBool,
    held: AtomicBool,
    draining: AtomicBool,
}

struct Watched {
    needs_redis: bool,
    checks: Vec<Check>,
    /// What clients were told last.
    serving: Option<bool>,
}

/// What the process knows about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether Redis answers.
    pub redis: bool,
    /// Whether the process takes part: started, not draining.
    pub ready: bool,
    /// Whether each named service works.
    pub services: BTreeMap<String, bool>,
}

impl Default for Health {
    /// Makes the health of a process that has not started; Redis counts as there until it is asked.
    fn default() -> Self {
        let shared = Shared {
            reporter: HealthReporter::new(),
            services: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            redis: AtomicBool::new(true),
            started: AtomicBool::new(false),
            held: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Health {
    /// Watches a service under its name, e.g. `nooble.query.v1.QueryService`. `check` must not block.
    pub fn watch(&self, name: &str, needs_redis: bool, check: impl Fn() -> bool + Send + Sync + 'static) {
        let mut services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        let service = services.entry(name.to_owned()).or_insert(Watched {
            needs_redis: false,
            checks: Vec::new(),
            serving: None,
        });
        service.needs_redis |= needs_redis;
        service.checks.push(Box::new(check));
    }

    /// Tells whether Redis answered when it was last asked.
    pub fn redis(&self) -> bool {
        self.shared.redis.load(Ordering::Relaxed)
    }

    /// Tells whether the process has started.
    pub fn started(&self) -> bool {
        self.shared.started.load(Ordering::Relaxed)
    }

    /// Tells whether the process is shutting down.
    pub fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Tells whether the process takes part: it has started, has done what it was [held](Self::hold) for, and is not
    /// shutting down.
    pub fn ready(&self) -> bool {
        self.started() && !self.shared.held.load(Ordering::Relaxed) && !self.draining()
    }

    /// Keeps the process from being called ready while it answers already, e.g. until its data is there.
    pub fn hold(&self) {
        self.shared.held.store(true, Ordering::Relaxed);
    }

    /// Ends what [`Self::hold`] began, and tells everybody.
    pub async fn release(&self) {
        self.shared.held.store(false, Ordering::Relaxed);
        self.publish().await;
    }

    /// Returns everything at once.
    pub fn report(&self) -> Report {
        let services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        let services = services.iter().map(|(name, service)| (name.clone(), service.serving == Some(true))).collect();
        Report { redis: self.redis(), ready: self.ready(), services }
    }

    /// Returns the gRPC service.
    pub(crate) fn server(&self) -> tonic_health::pb::health_server::HealthServer<HealthService> {
        let service = HealthService::from_health_reporter(self.shared.reporter.clone());
        tonic_health::pb::health_server::HealthServer::new(service)
    }

    /// Says that everything runs.
    pub(crate) async fn start(&self) {
        self.shared.started.store(true, Ordering::Relaxed);
        self.publish().await;
    }

    /// Says that the process goes away.
    pub(crate) async fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.reporter.set_service_status("", ServingStatus::NotServing).await;
        self.publish().await;
    }

    /// Looks at everything every second, until it is told to stop.
    pub(crate) async fn run(self, redis: broker::Redis, stop: CancellationToken) {
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = clock.tick() => {}
            }
            let there = matches!(tokio::time::timeout(PING, redis.ping()).await, Ok(Ok(())));
            if self.shared.redis.swap(there, Ordering::Relaxed) != there {
                if there { tracing::info!("redis is back") } else { tracing::warn!("redis does not answer") }
            }
            self.publish().await;
        }
    }

    /// Tells clients what has changed.
    async fn publish(&self) {
        let _turn = self.shared.publishing.lock().await;
        for (name, serving) in self.evaluate() {
            let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.shared.reporter.set_service_status(name, status).await;
        }
    }

    /// Asks every check, and returns the services that changed.
    fn evaluate(&self) -> Vec<(String, bool)> {
        let (redis, ready) = (self.redis(), self.ready());
        let mut services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        let judge = |(name, service): (&String, &mut Watched)| {
            let serving = ready && (redis || !service.needs_redis) && service.checks.iter().all(|check| check());
            let changed = service.serving.replace(serving) != Some(serving);
            if changed {
                tracing::info!(service = name, serving, "health changed");
            }
            changed.then(|| (name.clone(), serving))
        };
        services.iter_mut().filter_map(judge).collect()
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").field(&self.report()).finish()
    }
}
