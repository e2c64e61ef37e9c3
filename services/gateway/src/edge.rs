//! What every handler works with.

use std::sync::Arc;

use action::{AgentId, CollectionId};
use fault::{Failure, reason};
use idempotency::Idempotency;
use proto::management::v1::Agent;
use service_kit::{Admission, CallTimeout, Caller, Changes, Kit, Peers, Resolver, Signer, Tasks};
use session::connections::Pace;
use session::{Connections, Tickets};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::body::Bounds;
use crate::credential::Credential;
use crate::health::{Neighbours, Pulse};
use crate::places::Places;
use crate::public::{ExecutionContextResolver, Visits};
use crate::socket::drain::Sockets;
use crate::socket::hub::{Backlog, Hub};

/// Most tasks that are watched by streams at once, at most half of them for one tenant, and besides them those that visitors of public
/// agents watch. Each takes one of the 4,000 streams of a connection to an orchestrator, and other calls shall find some left.
const WATCHES: usize = 2_400;
const VISITORS_WATCHES: usize = 800;

/// The gateway, inside. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Edge(Arc<Inner>);

/// See [`Edge`].
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) changes: Changes,
    pub(crate) admission: Admission,
    pub(crate) peers: Peers,
    pub(crate) quota: quota::Quota,
    pub(crate) idempotency: Idempotency,
    pub(crate) contexts: ExecutionContextResolver,
    pub(crate) visits: Visits,
    pub(crate) hub: Hub,
    pub(crate) sockets: Sockets,
    /// Places of those who watch a task, and of visitors who do.
    pub(crate) watches: Places,
    pub(crate) visitors_watches: Places,
    /// Who is connected, all processes together.
    pub(crate) connections: Connections,
    pub(crate) tickets: Tickets,
    /// Makes names that follow from others, and that nobody outside of the mesh can tell.
    pub(crate) signer: Signer,
    /// How long a credential is believed on a stream.
    pub(crate) proof: std::time::Duration,
    pub(crate) pulse: Pulse,
    pub(crate) neighbours: Neighbours,
    call_timeout: CallTimeout,
    /// What is done for a request after it was answered.
    pub(crate) errands: Tasks,
    /// Cancelled when the process begins to end.
    pub(crate) draining: CancellationToken,
    /// Cancelled a moment before what is still going on is cut off.
    pub(crate) last_call: CancellationToken,
}

impl std::ops::Deref for Edge {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Edge {
    /// Takes what a service is built from; what runs in the background runs in `tasks`.
    pub(crate) fn new(config: Config, kit: &Kit, tasks: &Tasks) -> Self {
        let backlog = Backlog { frames: config.backlog_frames, bytes: config.backlog_bytes };
        let connections = Connections::new(kit.redis.clone(), Pace::default());
        let (keeper, most, ending) = (connections.clone(), config.max_sockets, tasks.ending());
        tasks.spawn(async move { keeper.keep(most, ending).await });
        Self(Arc::new(Inner {
            resolver: Arc::new(kit.resolver.clone()),
            changes: kit.changes.clone(),
            admission: kit.admission.clone(),
            peers: kit.peers.clone(),
            quota: kit.quota.clone(),
            contexts: ExecutionContextResolver::new(kit.peers.clone()),
            visits: Visits::new(kit.quota.clone(), config.public_visits_per_minute),
            idempotency: Idempotency::new(kit.redis.clone(), idempotency::Config::default()),
            hub: Hub::start(&kit.peers, tasks, backlog),
            sockets: Sockets::new(config.max_sockets),
            watches: Places::new(WATCHES),
            visitors_watches: Places::new(VISITORS_WATCHES),
            connections,
            tickets: Tickets::new(kit.redis.clone()),
            signer: kit.signer.clone(),
            proof: kit.proof,
            pulse: Pulse::new(kit.clone()),
            neighbours: Neighbours::default(),
            call_timeout: CallTimeout::new(config.call_timeout),
            errands: tasks.clone(),
            draining: CancellationToken::new(),
            last_call: CancellationToken::new(),
            config,
        }))
    }

    /// Returns whom a credential belongs to: a tenant whose calls are accepted.
    pub(crate) async fn resolve(&self, credential: &Credential) -> Result<Caller, Failure> {
        let caller = self.resolver.resolve(credential.expose()).await?;
        caller.tenant()?;
        Ok(caller)
    }

    /// Checks that a caller may use an agent, and returns it. Where access is not validated nothing is known of it, and a limited
    /// credential is kept to its agents still.
    pub(crate) async fn grant_agent(&self, caller: &Caller, agent: &AgentId) -> Result<Option<Arc<Agent>>, Failure> {
        if !self.config.enable_access_validation {
            return caller.assert_agent(agent).map(|()| None);
        }
        self.admission.access_agent(caller, agent).await.map(Some)
    }

    /// Checks that a caller may use a collection, where access is validated.
    pub(crate) async fn grant_collection(&self, caller: &Caller, collection: &CollectionId) -> Result<(), Failure> {
        if !self.config.enable_access_validation {
            return caller.assert_unlimited();
        }
        self.admission.access_collection(caller, collection).await.map(|_| ())
    }

    /// Returns how much of a JSON body is read.
    pub(crate) fn body(&self) -> Bounds {
        Bounds { bytes: self.config.max_body_bytes, time: self.config.body_timeout }
    }

    /// Makes a request to another service, with the deadline of the edge.
    pub(crate) fn call<T>(&self, message: T) -> tonic::Request<T> {
        self.call_timeout.call(message)
    }

    /// Refuses new work while the process ends.
    pub(crate) fn accept_work(&self) -> Result<(), Failure> {
        if self.draining.is_cancelled() { Err(leaving()) } else { Ok(()) }
    }
}

/// Says that the process ends, to those whom it cannot answer any more.
pub(crate) fn leaving() -> Failure {
    let text = "this process is shutting down; another one will answer";
    Failure::new(&reason::DRAINING, text).retry_after(std::time::Duration::from_secs(1))
}
