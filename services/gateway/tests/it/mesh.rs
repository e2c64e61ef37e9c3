//! A gateway with a mesh around it.

use std::net::SocketAddr;
use std::time::Duration;

use action::Domain;
use gateway::Config;
use proto::ingestion::v1::ingestion_service_server::IngestionServiceServer;
use proto::management::v1::management_service_server::ManagementServiceServer;
use proto::orchestrator::v1::orchestrator_service_server::OrchestratorServiceServer;
use service_kit::identity::ResolverConfig;
use service_kit::{AdmissionConfig, Host, HostConfig, Kit, KitConfig, PeersConfig, Secret, Service};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Ingestion, Management, Orchestrator};

pub(crate) struct Mesh {
    pub(crate) redis: testkit::Redis,
    pub(crate) management: Management,
    pub(crate) ingestion: Ingestion,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) http: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), gateway::Error>>,
    /// The processes of the orchestrator, to be ended.
    pub(crate) orchestrators: Vec<CancellationToken>,
    _folder: tempfile::TempDir,
}

/// Settings under which tests need not wait long.
pub(crate) fn quick() -> Config {
    Config { auth_timeout: ms(400), write_timeout: ms(1000), drain_grace: Duration::from_secs(3), ..Config::default() }
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(quick()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::changed(config, |_, _| {}).await
    }

    /// Starts with a kit of the gateway that is changed before, knowing where the orchestrators are.
    pub(crate) async fn changed(config: Config, change: impl FnOnce(&mut Kit, &[SocketAddr])) -> Self {
        let redis = testkit::Redis::start().await;
        let folder = tempfile::tempdir().unwrap();
        let mut hosts = Vec::new();
        for _ in 0..3 {
            hosts.push(Host::bind(HostConfig::anywhere()).await.unwrap());
        }
        let at: Vec<SocketAddr> = hosts.iter().map(Host::grpc_address).collect();
        let uri = |address: &SocketAddr| format!("http://{address}").parse().unwrap();
        let peers = PeersConfig { orchestrator: at[1..].iter().map(uri).collect(), ..PeersConfig::all_at(at[0]) };
        let mut kits = Vec::new();
        for service in ["nooble", "orchestrator", "orchestrator", "gateway"] {
            let key = Secret::new("the key of the mesh");
            let mut config = KitConfig::new(service, &redis.url(), folder.path().to_owned(), key, peers.clone());
            config.resolver = ResolverConfig { positive: ms(200), negative: ms(100), capacity: 100 };
            config.admission = AdmissionConfig { keep: ms(2000), fresh: ms(200), negative: ms(100) };
            kits.push(Kit::start(config).await.unwrap());
        }
        let management = Management::default();
        let ingestion = Ingestion::new(kits[0].clone());
        let orchestrator = Orchestrator::new(kits[1].queue.clone());
        let mut hosts = hosts.into_iter();
        let rest = Service::new(Domain::Management)
            .serve(ManagementServiceServer::new(management.clone()))
            .serve(IngestionServiceServer::new(ingestion.clone()));
        run(hosts.next().unwrap().serve(rest), kits[0].clone());
        let orchestrators = hosts.zip(&kits[1..]).map(|(host, kit)| {
            let fake = orchestrator.beside(kit.queue.clone());
            run(host.serve(Service::new(Domain::Orchestrator).serve(OrchestratorServiceServer::new(fake))), kit.clone())
        });
        let orchestrators = orchestrators.collect();
        let mut kit = kits.pop().unwrap();
        change(&mut kit, &at[1..]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (running, ending) = (kit.clone(), stop.clone());
        let served = tokio::spawn(async move { gateway::serve(config, listener, &running, ending.cancelled()).await });
        Self { redis, management, ingestion, orchestrator, http, stop, served, orchestrators, _folder: folder }
    }
}

fn run(host: Host, kit: Kit) -> CancellationToken {
    let stop = CancellationToken::new();
    let ending = stop.clone();
    tokio::spawn(async move { host.until(&kit, ending.cancelled()).await.unwrap() });
    stop
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
