//! The other services of the mesh, as clients that say on whose behalf they call.

mod body;
mod config;
mod dial;
mod endpoint;
mod peer;
mod pool;
mod replay;
mod resolve;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use action::Domain;
use http::{Request, Response, Uri};
use proto::conversation::v1::conversation_service_client::ConversationServiceClient;
use proto::embedding::v1::embedding_service_client::EmbeddingServiceClient;
use proto::execution::v1::execution_service_client::ExecutionServiceClient;
use proto::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use proto::query::v1::query_service_client::QueryServiceClient;
use proto::queue::v1::queue_service_client::QueueServiceClient;
use proto::task::v1::task_service_client::TaskServiceClient;
use tonic::body::Body;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

pub use config::PeersConfig;
use endpoint::Endpoint;
pub use peer::Peer;
use pool::{Away, Pool};
use resolve::Dns;
pub use resolve::Resolve;

use crate::identity::Signed;
use crate::tls::MeshTls;
use crate::{Identity, Signer};

/// How often names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// Clients for the services of the mesh. Cloning is cheap; all clones share one connection to each process of a service,
/// opened by the first call and again after it broke.
///
/// A service may have any number of processes: its name is resolved again every few seconds, calls are spread evenly over
/// those that answer, and one that does not gets none while another does. A call that was not sent yet is sent to another
/// process; one that only reads (`Get…`, `List…`, …) is sent once more when its connection broke.
///
/// Every call carries the identity, signed; the trace of the current span; and a deadline, 5 s unless the request names one
/// (`tonic::Request::set_timeout`). Streams have no deadline of their own. A service that is away is `UNAVAILABLE`.
#[derive(Clone, Debug)]
pub struct Peers {
    shared: Arc<Shared>,
}

/// How processes are reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Turns names into addresses; that of the system by default.
    pub resolver: Arc<dyn Resolve>,
    /// How often names are resolved again.
    pub resolve_every: Duration,
    /// What is shown to them, and whom of them is trusted; plain connections by default.
    pub tls: Option<MeshTls>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { resolver: Arc::new(Dns), resolve_every: RESOLVE_EVERY, tls: None }
    }
}

#[derive(Debug)]
struct Shared {
    service: String,
    signed: Arc<Signed>,
    orchestrator: Pool,
    execution: Pool,
    management: Pool,
    conversation: Pool,
    embedding: Pool,
    query: Pool,
    ingestion: Pool,
}

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident = $client:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, identity: impl Into<Identity>) -> $client<Peer> {
            $client::new(self.peer(&self.shared.$name, identity))
        }
    )*};
}

impl Peers {
    /// Takes the name of the service that calls, the key of the mesh and the addresses. Needs a Tokio runtime.
    pub fn new(service: &str, signer: Signer, config: &PeersConfig) -> Self {
        Self::reaching(service, signer, config, &Reach::default())
    }

    /// Like [`Peers::new`], with other ways to reach processes.
    pub fn reaching(service: &str, signer: Signer, config: &PeersConfig, reach: &Reach) -> Self {
        let pool = |uri: &Uri| Pool::new(std::slice::from_ref(uri), reach.clone());
        let shared = Shared {
            service: service.to_owned(),
            signed: Arc::new(Signed::new(signer)),
            orchestrator: Pool::new(&config.orchestrator, reach.clone()),
            execution: pool(&config.execution),
            management: pool(&config.management),
            conversation: pool(&config.conversation),
            embedding: pool(&config.embedding),
            query: pool(&config.query),
            ingestion: pool(&config.ingestion),
        };
        Self { shared: Arc::new(shared) }
    }

    clients! {
        /// Calls management.
        management = ManagementServiceClient;
        /// Calls execution.
        execution = ExecutionServiceClient;
        /// Calls conversation.
        conversation = ConversationServiceClient;
        /// Calls embedding.
        embedding = EmbeddingServiceClient;
        /// Calls query.
        query = QueryServiceClient;
        /// Calls ingestion.
        ingestion = IngestionServiceClient;
    }

    /// Calls the orchestrator.
    pub fn orchestrator(&self, identity: impl Into<Identity>) -> OrchestratorServiceClient<Peer> {
        OrchestratorServiceClient::new(self.peer(self.pool_of(Domain::Orchestrator), identity))
    }

    /// Returns the processes of the orchestrator one by one, for a gateway that holds a stream to every one of them.
    pub fn orchestrators(&self, identity: impl Into<Identity>) -> Orchestrators {
        let orchestrators = Orchestrators { peers: self.clone(), identity: identity.into() };
        // Begins to resolve the names, so that they are known when the first stream is opened.
        let _known = orchestrators.count();
        orchestrators
    }

    /// Calls the task service beside a domain's façade.
    pub fn tasks(&self, domain: Domain, identity: impl Into<Identity>) -> TaskServiceClient<Peer> {
        TaskServiceClient::new(self.peer(self.pool_of(domain), identity))
    }

    /// Calls the queue service beside a domain's façade.
    pub fn queues(&self, domain: Domain, identity: impl Into<Identity>) -> QueueServiceClient<Peer> {
        QueueServiceClient::new(self.peer(self.pool_of(domain), identity))
    }

    /// Tells which services answer at all, within a time.
    pub async fn reachable(&self, patience: Duration) -> Vec<(&'static str, bool)> {
        let all = [
            ("orchestrator", Domain::Orchestrator),
            ("execution", Domain::Execution),
            ("management", Domain::Management),
            ("conversation", Domain::Conversation),
            ("embedding", Domain::Embedding),
            ("query", Domain::Query),
            ("ingestion", Domain::Ingestion),
        ];
        let asked = all.map(|(name, domain)| async move {
            let mut health = HealthClient::new(self.peer(self.pool_of(domain), Identity::service()));
            let answer = tokio::time::timeout(patience, health.check(HealthCheckRequest::default())).await;
            (name, matches!(answer, Ok(Ok(_))))
        });
        futures::future::join_all(asked).await
    }

    fn peer(&self, pool: &Pool, identity: impl Into<Identity>) -> Peer {
        self.routed(Route { pool: pool.clone(), only: None }, identity)
    }

    fn routed(&self, route: Route, identity: impl Into<Identity>) -> Peer {
        let caller = identity.into().called_by(&self.shared.service);
        Peer::new(route, caller, Arc::clone(&self.shared.signed))
    }

    fn pool_of(&self, domain: Domain) -> &Pool {
        match domain {
            // Workflows are served beside the orchestrator until they have a service of their own.
            Domain::Orchestrator | Domain::Workflow => &self.shared.orchestrator,
            Domain::Execution => &self.shared.execution,
            Domain::Ingestion => &self.shared.ingestion,
            Domain::Query => &self.shared.query,
            Domain::Embedding => &self.shared.embedding,
            Domain::Conversation => &self.shared.conversation,
            Domain::Management => &self.shared.management,
        }
    }
}

/// The processes of the orchestrator, as they are known at any time. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Orchestrators {
    peers: Peers,
    identity: Identity,
}

impl Orchestrators {
    /// Returns how many are reached, or known where none is; at least one, as the settings name one.
    pub fn count(&self) -> usize {
        self.peers.shared.orchestrator.endpoints().len().max(1)
    }

    /// Returns a client of one of them. The numbers wrap around, and change their meaning when processes come and go.
    pub fn client(&self, number: usize) -> OrchestratorServiceClient<Peer> {
        let pool = &self.peers.shared.orchestrator;
        let endpoints = pool.endpoints();
        // While the names are not resolved, whoever is found first is as good as any.
        let only = endpoints.get(number % endpoints.len().max(1)).cloned();
        OrchestratorServiceClient::new(self.peers.routed(Route { pool: pool.clone(), only }, &self.identity))
    }
}

/// Who takes the calls of a client.
#[derive(Clone, Debug)]
struct Route {
    pool: Pool,
    /// A certain process rather than any.
    only: Option<Arc<Endpoint>>,
}

impl Route {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Away> {
        self.pool.send(self.only.as_ref(), request).await
    }
}
