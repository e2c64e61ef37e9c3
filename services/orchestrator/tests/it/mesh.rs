//! An orchestrator of the test's own: Redis, management, the host with its worker, and clients.

use std::net::SocketAddr;
use std::time::Duration;

use action::{TenantId, Tier};
use fault::Failure;
use orchestrator::Config;
use proto::management::v1::management_service_server::ManagementServiceServer;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use proto::orchestrator::v1::{SendMessageRequest, SendMessageResponse};
use service_kit::{
    Caller, Host, HostConfig, Identity, Kit, KitConfig, Peer, Peers, PeersConfig, Scope, Scopes, Secret, Service,
    Settings, Tenant,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::management::{KEY, Management};

/// A channel on which every call presents a key.
pub(crate) type Outsider = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

/// Everything ends when this is dropped.
pub(crate) struct Mesh {
    pub(crate) redis: testkit::Redis,
    pub(crate) kit: Kit,
    peers: Peers,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::adjusted(config, |_| {}).await
    }

    /// Starts with whatever `adjust` changes.
    pub(crate) async fn adjusted(config: Config, adjust: impl FnOnce(&mut KitConfig)) -> Self {
        let redis = testkit::Redis::start().await;
        let host = Host::bind(HostConfig { grace: Duration::from_secs(2), ..HostConfig::anywhere() });
        let host = host.await.expect("ports are free");
        let address = host.grpc_address();
        let peers = PeersConfig::all_at(address);
        let key = Secret::new("a key of the test");
        let mut kit = KitConfig {
            redis_url: Some(redis.url()),
            identity_key: Some(key),
            peers: peers.clone(),
            ..KitConfig::read(&mut Settings::from_pairs(&[]), "orchestrator")
        };
        adjust(&mut kit);
        let kit = Kit::start(kit).await.expect("the kit starts");
        let orchestrator = orchestrator::service(config, &kit).await.expect("the service starts");
        let management = Service::outside_of_domains().serve(ManagementServiceServer::new(Management));
        let (stop, stopped) = oneshot::channel();
        let peers = Peers::new("gateway", kit.signer.clone(), &peers);
        let hosted = kit.clone();
        let running = kit.tasks.spawn(async move {
            let until = async { drop(stopped.await) };
            host.serve(orchestrator).serve(management).until(&hosted, until).await.expect("it runs until told to stop");
        });
        Self { redis, kit, peers, address, stop: Some(stop), running }
    }

    /// Calls for a tenant.
    pub(crate) fn tenant(&self, tenant: &str, tier: Tier) -> OrchestratorServiceClient<Peer> {
        self.peers.orchestrator(Identity::tenant(tenant.parse().expect("an id"), tier))
    }

    /// Calls for a tenant whose limits were not charged yet.
    pub(crate) fn outside(&self, tenant: &str, tier: Tier) -> OrchestratorServiceClient<Peer> {
        let tenant = Tenant { id: tenant.parse().expect("an id"), tier, active: true };
        let caller = Caller { tenant: Some(tenant), scopes: Scopes::from([Scope::Tenant]), ..Caller::default() };
        self.peers.orchestrator(Identity::from(caller))
    }

    /// Calls `tenant-1`'s key in hand, as somebody who is no service of the mesh does.
    pub(crate) fn outsider(&self) -> OrchestratorServiceClient<Outsider> {
        let channel = Endpoint::try_from(format!("http://{}", self.address)).expect("an address").connect_lazy();
        OrchestratorServiceClient::with_interceptor(channel, |mut call: Request<()>| {
            call.metadata_mut().insert("x-api-key", KEY.parse().expect("plain characters"));
            Ok(call)
        })
    }

    /// Calls as a gateway, on nobody's behalf.
    pub(crate) fn gateway(&self) -> OrchestratorServiceClient<Peer> {
        self.peers.orchestrator(Identity::service())
    }

    /// Sends a message as `tenant-1`.
    pub(crate) async fn send(&self, request: SendMessageRequest) -> Result<SendMessageResponse, Failure> {
        let mut client = self.tenant("tenant-1", Tier::Professional);
        let response = client.send_message(request).await.map_err(|status| Failure::from_status(&status))?;
        Ok(response.into_inner())
    }

    /// Tells the host to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.running).await.expect("the host ends");
    }
}

pub(crate) fn tenant() -> TenantId {
    "tenant-1".parse().expect("an id")
}
