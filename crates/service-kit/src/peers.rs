//! The other services of the mesh, as clients that say on whose behalf they call.

mod config;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use action::Domain;
use http::Uri;
use proto::conversation::v1::conversation_service_client::ConversationServiceClient;
use proto::embedding::v1::embedding_service_client::EmbeddingServiceClient;
use proto::execution::v1::execution_service_client::ExecutionServiceClient;
use proto::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use proto::query::v1::query_service_client::QueryServiceClient;
use proto::queue::v1::queue_service_client::QueueServiceClient;
use proto::task::v1::task_service_client::TaskServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

pub use config::PeersConfig;
pub use peer::Peer;

use crate::{Identity, Signer};

/// Connecting takes longer only when nobody is there.
const CONNECT: Duration = Duration::from_secs(2);

/// Clients for the services of the mesh. Cloning is cheap; all clones share one connection a service, opened by the first
/// call and again after it broke.
///
/// Every call carries the identity, signed; the trace of the current span; and a deadline, 5 s unless the request names one
/// (`tonic::Request::set_timeout`). Streams have no deadline of their own. A service that is away is `UNAVAILABLE`.
#[derive(Clone, Debug)]
pub struct Peers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    service: String,
    signer: Signer,
    orchestrator: Vec<Channel>,
    execution: Channel,
    management: Channel,
    conversation: Channel,
    embedding: Channel,
    query: Channel,
    ingestion: Channel,
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
        let shared = Shared {
            service: service.to_owned(),
            signer,
            orchestrator: config.orchestrator.iter().map(channel).collect(),
            execution: channel(&config.execution),
            management: channel(&config.management),
            conversation: channel(&config.conversation),
            embedding: channel(&config.embedding),
            query: channel(&config.query),
            ingestion: channel(&config.ingestion),
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
        OrchestratorServiceClient::new(self.peer(self.channel_of(Domain::Orchestrator), identity))
    }

    /// Returns one client for each address of the orchestrator, for a gateway that holds a stream to every one of them.
    pub fn orchestrators(&self, identity: impl Into<Identity>) -> Vec<OrchestratorServiceClient<Peer>> {
        let identity = identity.into();
        let clients = self.shared.orchestrator.iter();
        clients.map(|channel| OrchestratorServiceClient::new(self.peer(channel, &identity))).collect()
    }

    /// Calls the task service beside a domain's façade.
    pub fn tasks(&self, domain: Domain, identity: impl Into<Identity>) -> TaskServiceClient<Peer> {
        TaskServiceClient::new(self.peer(self.channel_of(domain), identity))
    }

    /// Calls the queue service beside a domain's façade.
    pub fn queues(&self, domain: Domain, identity: impl Into<Identity>) -> QueueServiceClient<Peer> {
        QueueServiceClient::new(self.peer(self.channel_of(domain), identity))
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
            let mut health = HealthClient::new(self.peer(self.channel_of(domain), Identity::service()));
            let answer = tokio::time::timeout(patience, health.check(HealthCheckRequest::default())).await;
            (name, matches!(answer, Ok(Ok(_))))
        });
        futures::future::join_all(asked).await
    }

    fn peer(&self, channel: &Channel, identity: impl Into<Identity>) -> Peer {
        let caller = identity.into().called_by(&self.shared.service);
        Peer::new(channel.clone(), caller, self.shared.signer.clone())
    }

    fn channel_of(&self, domain: Domain) -> &Channel {
        match domain {
            // Workflows are served beside the orchestrator until they have a service of their own.
            Domain::Orchestrator | Domain::Workflow => {
                self.shared.orchestrator.first().expect("the settings refuse an empty list")
            }
            Domain::Execution => &self.shared.execution,
            Domain::Ingestion => &self.shared.ingestion,
            Domain::Query => &self.shared.query,
            Domain::Embedding => &self.shared.embedding,
            Domain::Conversation => &self.shared.conversation,
            Domain::Management => &self.shared.management,
        }
    }
}

fn channel(address: &Uri) -> Channel {
    Endpoint::from(address.clone())
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        // A peer that vanished without a word is noticed by its silence.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy()
}
