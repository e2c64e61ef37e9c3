//! A host with a management service, on a Redis of its own.

use std::net::SocketAddr;
use std::time::Duration;

use action::Domain;
use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::management::v1::management_service_server::ManagementServiceServer;
use service_kit::identity::{JwtConfig, ResolverConfig};
use service_kit::{AdmissionConfig, Error, Host, HostConfig, Kit, KitConfig, PeersConfig, Secret, Service};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::management::Management;

pub(crate) const MANAGEMENT: &str = "nooble.management.v1.ManagementService";

pub(crate) struct Mesh {
    pub(crate) redis: testkit::Redis,
    pub(crate) kit: Kit,
    /// What the kit was started with, to start another one beside it.
    pub(crate) config: KitConfig,
    pub(crate) management: Management,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) host: JoinHandle<Result<(), Error>>,
    _folder: tempfile::TempDir,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(HostConfig::anywhere()).await
    }

    pub(crate) async fn with(config: HostConfig) -> Self {
        Self::adjusted(config, |_| {}).await
    }

    /// Starts with short memories, so that tests need not wait long, and whatever else `adjust` changes.
    pub(crate) async fn adjusted(config: HostConfig, adjust: impl FnOnce(&mut KitConfig)) -> Self {
        let redis = testkit::Redis::start().await;
        let folder = tempfile::tempdir().unwrap();
        let host = Host::bind(config).await.unwrap();
        let (grpc, admin) = (host.grpc_address(), host.admin_address().unwrap());
        let key = Secret::new("the key of the mesh");
        let peers = PeersConfig::all_at(grpc);
        let mut config = KitConfig::new("test", &redis.url(), folder.path().to_owned(), key, peers);
        config.resolver = ResolverConfig { positive: ms(300), held: ms(300), negative: ms(100), capacity: 100 };
        config.jwt = tokens();
        config.admission = AdmissionConfig { keep: ms(2000), fresh: ms(200), held: ms(200), negative: ms(100) };
        adjust(&mut config);
        let kit = Kit::start(config.clone()).await.unwrap();
        // From then on nothing that is remembered is doubted for other reasons than a test's.
        testkit::eventually(Duration::from_secs(10), || async { kit.changes.connected() }).await;
        let management = Management::default();
        let service = Service::new(Domain::Management).serve(ManagementServiceServer::new(management.clone()));
        let stop = CancellationToken::new();
        let (running, ending) = (kit.clone(), stop.clone());
        let host = tokio::spawn(async move { host.serve(service).until(&running, ending.cancelled()).await });
        Self { redis, kit, config, management, grpc, admin, stop, host, _folder: folder }
    }

    /// Connects as an outsider does.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::try_from(format!("http://{}", self.grpc)).unwrap().connect_lazy()
    }

    pub(crate) fn outsider(&self) -> ManagementServiceClient<Channel> {
        ManagementServiceClient::new(self.channel())
    }

    /// Asks the admin port; returns the status and the body.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let response = http_client().build().unwrap().get(format!("http://{}{path}", self.admin)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// Which tokens are accepted.
pub(crate) fn tokens() -> JwtConfig {
    let secret = Secret::new("a secret that nobody guesses in a hurry");
    JwtConfig { leeway: ms(0), ..JwtConfig::with_secret(secret, "issuer", "nooble") }
}

/// Starts to build a client that speaks plain HTTP.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    // It wants to know who does its cryptography even where there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns a request with metadata.
pub(crate) fn request<T>(message: T, metadata: &[(&'static str, &str)]) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Returns the machine name of a failure.
pub(crate) fn reason(status: &tonic::Status) -> &'static str {
    fault::Failure::from_status(status).reason().id
}
