//! What services are built from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use action::{Domain, Tier};
use fault::{Failure, Fault};
use queue::{Durability, Limits, Queue, Sharing};
use quota::{Quota, Tiers};
use session::Sessions;

use crate::config::Settings;
use crate::identity::{PROOF, ResolverConfig};
use crate::queue_service::SILENCE;
use crate::tls::{MeshTls, MeshTlsConfig, TlsError};
use crate::{Admission, AdmissionConfig, Health, Peers, PeersConfig, Reach, Resolver, Secret, Signer, Tasks, tiers};

/// A key that can be guessed lets everybody in.
const SHORTEST_KEY: usize = 32;

/// What a [`Kit`] is started with.
#[derive(Clone, Debug)]
pub struct KitConfig {
    /// Name under which the process calls others, e.g. `query`, or `nooble` where all services share one.
    pub service: String,
    /// `REDIS_URL`. Required in the end; `nooble up` fills it in when it starts a server of its own.
    pub redis_url: Option<String>,
    /// `DATA_DIR`: where databases, objects and keys of this process lie.
    pub data_dir: PathBuf,
    /// `IDENTITY_KEY` or `IDENTITY_KEY_FILE`: what identities between services are signed with. Required in the end;
    /// `nooble up` keeps one in its data directory ([`crate::identity::key_file`]).
    pub identity_key: Option<Secret>,
    /// Where the other services are.
    pub peers: PeersConfig,
    /// `MESH_TLS_…`: certificates between services; none for plain connections.
    pub mesh_tls: Option<MeshTlsConfig>,
    /// `RATE_LIMIT_…` and `TIMEOUT_…`.
    pub tiers: Tiers,
    /// The queue engine; its budgets are the tiers' timeouts.
    pub queue: queue::Config,
    /// The session logs.
    pub session: session::Config,
    /// How long access is remembered.
    pub admission: AdmissionConfig,
    /// How long credentials are remembered.
    pub resolver: ResolverConfig,
    /// How long a stream of a caller from outside lasts until the caller must prove itself again.
    pub proof: Duration,
    /// How long a worker from outside may say nothing until it counts as gone.
    pub silence: Duration,
}

impl KitConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings, service: &str) -> Self {
        let tiers = tiers::read(settings);
        let queue = read_queue(settings, &tiers);
        let identity_key = settings.secret("IDENTITY_KEY");
        if identity_key.as_ref().is_some_and(|key| key.expose().len() < SHORTEST_KEY) {
            settings.reject("IDENTITY_KEY", format!("has less than {SHORTEST_KEY} characters"));
        }
        let peers = PeersConfig::read(settings);
        let mesh_tls = MeshTlsConfig::read(settings);
        if mesh_tls.is_none() {
            peers.refuse_https(settings);
        }
        Self {
            service: service.to_owned(),
            redis_url: settings.secret("REDIS_URL").map(|url| url.expose().to_owned()),
            data_dir: settings.get("DATA_DIR", PathBuf::from(".nooble")),
            identity_key,
            peers,
            mesh_tls,
            tiers,
            queue,
            session: session::Config::default(),
            admission: AdmissionConfig::read(settings),
            resolver: ResolverConfig::default(),
            proof: PROOF,
            silence: SILENCE,
        }
    }
}

impl KitConfig {
    /// Takes what has no default; everything else is as it is without settings.
    pub fn new(service: &str, redis_url: &str, data_dir: PathBuf, identity_key: Secret, peers: PeersConfig) -> Self {
        let defaults = Self::read(&mut Settings::default(), service);
        Self { redis_url: Some(redis_url.to_owned()), data_dir, identity_key: Some(identity_key), peers, ..defaults }
    }
}

fn read_queue(settings: &mut Settings, tiers: &Tiers) -> queue::Config {
    let default = queue::Config::default();
    let second = Duration::from_secs(1);
    let budget = |tier| tiers.of(tier).timeout;
    let modes = [("fast", Durability::Fast), ("replicated", Durability::Replicated), ("fsync", Durability::Fsync)];
    let durability = settings.choose("QUEUE_DURABILITY", "fast", &modes);
    let general = modes.iter().find(|(_, mode)| *mode == durability).map_or("fast", |(word, _)| *word);
    let durability_of = Domain::ALL.into_iter().map(|domain| {
        let name = format!("QUEUE_DURABILITY_{}", domain.as_str().to_uppercase());
        (domain, settings.choose(&name, general, &modes))
    });
    let durability_of = durability_of.collect();
    queue::Config {
        lease: settings.get_in("QUEUE_LEASE", default.lease, 2 * second..),
        max_attempts: settings.get_in("QUEUE_MAX_ATTEMPTS", default.max_attempts, 1..=100),
        max_crashes: settings.get_in("QUEUE_MAX_CRASHES", default.max_crashes, 1..=100),
        result_ttl: settings.get_in("QUEUE_RESULT_TTL", default.result_ttl, 60 * second..),
        retry_base: settings.get("QUEUE_RETRY_BASE", default.retry_base),
        retry_cap: settings.get("QUEUE_RETRY_CAP", default.retry_cap),
        dead_letter_ttl: settings.get_in("QUEUE_DEAD_LETTER_TTL", default.dead_letter_ttl, 60 * second..),
        durability,
        durability_of,
        limits: read_limits(settings, &default.limits),
        budgets: Tier::ALL.map(budget),
        // A little less than the host waits for workers, so that giving back what is left is still waited for.
        grace: crate::host::read_grace(settings).mul_f32(0.8 * crate::host::WORKERS_SHARE),
        ..default
    }
}

/// What is set at run time goes before all of this.
fn read_limits(settings: &mut Settings, default: &Limits) -> Limits {
    let words = [("weighted", Sharing::Weighted), ("strict", Sharing::Strict)];
    Limits {
        sharing: settings.choose("QUEUE_SHARING", "weighted", &words),
        reserve: settings.get_in("QUEUE_RESERVE_PERCENT", default.reserve, 0..=100),
        quantum: settings.get_in("QUEUE_QUANTUM", default.quantum, 1..=64),
        tenant_in_flight: settings.get("QUEUE_TENANT_IN_FLIGHT", default.tenant_in_flight),
        queue_depth: settings.get("QUEUE_DEPTH", default.queue_depth),
        tenant_depth: settings.get("QUEUE_TENANT_DEPTH", default.tenant_depth),
        tier_depth: settings.get("QUEUE_TIER_DEPTH", default.tier_depth),
        ..default.clone()
    }
}

/// Why a kit could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// A setting that has no default is absent.
    #[error("{name} is required")]
    Missing {
        /// Name of the setting.
        name: &'static str,
    },
    /// Redis cannot be reached or used.
    #[error("REDIS_URL: {0}")]
    Broker(#[from] broker::Error),
    /// The queue does not start.
    #[error("the queue does not start: {0}")]
    Queue(#[from] queue::Error),
    /// The session logs do not start.
    #[error("the session logs do not start: {0}")]
    Session(#[from] session::Error),
    /// The certificates of the mesh cannot be used.
    #[error("MESH_TLS_CERT: {}", .0.in_words())]
    Tls(#[from] TlsError),
}

impl Fault for KitError {
    fn failure(&self) -> Failure {
        match self {
            Self::Missing { .. } | Self::Tls(_) => Failure::internal(),
            Self::Broker(error) => error.failure(),
            Self::Queue(error) => error.failure(),
            Self::Session(error) => error.failure(),
        }
    }
}

/// What a service is built from. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Kit {
    /// Name under which the process calls others.
    pub service: Arc<str>,
    /// The connection to Redis, for the crates that may know it.
    pub redis: broker::Redis,
    /// The tier queues.
    pub queue: Queue,
    /// The session logs.
    pub sessions: Sessions,
    /// The limits of tenants.
    pub quota: Quota,
    /// What each tier may do.
    pub tiers: Arc<Tiers>,
    /// The other services.
    pub peers: Peers,
    /// What this process shows to its peers; none for plain connections.
    pub mesh_tls: Option<MeshTls>,
    /// Whether a caller may.
    pub admission: Admission,
    /// Signs and verifies identities between services.
    pub signer: Signer,
    /// Tells whom a credential from outside belongs to.
    pub resolver: Resolver,
    /// How long a stream of a caller from outside lasts, see [`while_proved`](crate::identity::while_proved).
    pub proof: Duration,
    /// How long a worker from outside may say nothing until it counts as gone.
    pub silence: Duration,
    /// How long what is leased may take when the process shuts down, before it is given back.
    pub grace: Duration,
    /// Where databases, objects and keys lie.
    pub data_dir: PathBuf,
    /// How well the process is.
    pub health: Health,
    /// Background tasks, waited for when the process ends.
    pub tasks: Tasks,
}

impl Kit {
    /// Connects to Redis and starts what every service needs.
    pub async fn start(config: KitConfig) -> Result<Self, KitError> {
        let missing = |name| KitError::Missing { name };
        let key = config.identity_key.as_ref().ok_or_else(|| missing("IDENTITY_KEY"))?;
        let url = config.redis_url.as_deref().ok_or_else(|| missing("REDIS_URL"))?;
        let signer = Signer::new(key);
        let redis = broker::Redis::connect(url).await?;
        let grace = config.queue.grace;
        let queue = Queue::start(redis.clone(), config.queue).await?;
        let sessions = Sessions::start(redis.clone(), config.session).await?;
        let tiers = Arc::new(config.tiers);
        let quota = Quota::new(redis.clone(), Arc::clone(&tiers));
        let tasks = Tasks::default();
        let mesh_tls = config.mesh_tls.as_ref().map(MeshTls::open).transpose()?;
        if let Some(tls) = &mesh_tls {
            tls.follow(&tasks);
        }
        let reach = Reach { tls: mesh_tls.clone(), ..Reach::default() };
        let peers = Peers::reaching(&config.service, signer.clone(), &config.peers, &reach);
        Ok(Self {
            admission: Admission::new(quota.clone(), &peers, &config.admission),
            resolver: Resolver::new(peers.clone(), &config.resolver),
            service: config.service.into(),
            proof: config.proof,
            silence: config.silence,
            grace,
            data_dir: config.data_dir,
            health: Health::default(),
            tasks,
            mesh_tls,
            redis,
            queue,
            sessions,
            quota,
            tiers,
            peers,
            signer,
        })
    }
}
