//! A gateway with a mesh around it.

use std::net::SocketAddr;
use std::time::Duration;

use action::Domain;
use gateway::Config;
use proto::ingestion::v1::ingestion_service_server::IngestionServiceServer;
use proto::management::v1::management_service_server::ManagementServiceServer;
use proto::orchestrator::v1::orchestrator_service_server::OrchestratorServiceServer;
use service_kit::identity::{JwtConfig, ResolverConfig};
use service_kit::{AdmissionConfig, Changes, Host, HostConfig, Kit, KitConfig, PeersConfig, Secret, Service};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Ingestion, Management, Orchestrator};

pub(crate) struct Mesh {
    pub(crate) redis: testkit::Redis,
    /// Tells every process of the mesh what has changed.
    pub(crate) changes: Changes,
    pub(crate) management: Management,
    pub(crate) ingestion: Ingestion,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) http: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), gateway::Error>>,
    /// The processes of the orchestrator, to be ended.
    pub(crate) orchestrators: Vec<CancellationToken>,
    /// What the process of an orchestrator is made of: its queue, and the logs behind the task service.
    pub(crate) kit: Kit,
    config: KitConfig,
    _folder: tempfile::TempDir,
}

/// Settings under which tests need not wait long.
pub(crate) fn quick() -> Config {
    let (drain_delay, drain_grace) = (Duration::ZERO, Duration::from_secs(3));
    Config { auth_timeout: ms(400), write_timeout: ms(1000), drain_delay, drain_grace, ..Config::default() }
}

/// Which tokens are accepted.
pub(crate) fn tokens() -> JwtConfig {
    let secret = Secret::new("a secret that nobody guesses in a hurry");
    JwtConfig { leeway: ms(0), ..JwtConfig::with_secret(secret, "issuer", "nooble") }
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(quick()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::made(config, |_| {}).await
    }

    /// Starts a mesh whose processes have other settings.
    pub(crate) async fn made(config: Config, change: impl Fn(&mut KitConfig)) -> Self {
        Box::pin(Self::built(config, change, |_, _| {})).await
    }

    /// Starts with a kit of the gateway that is changed before, knowing where the orchestrators are.
    pub(crate) async fn changed(config: Config, change: impl FnOnce(&mut Kit, &[SocketAddr])) -> Self {
        Box::pin(Self::built(config, |_| {}, change)).await
    }

    async fn built(
        config: Config,
        change: impl Fn(&mut KitConfig),
        change_kit: impl FnOnce(&mut Kit, &[SocketAddr]),
    ) -> Self {
        let redis = testkit::Redis::start().await;
        let folder = tempfile::tempdir().unwrap();
        let mut hosts = Vec::new();
        for _ in 0..3 {
            hosts.push(Host::bind(HostConfig::anywhere()).await.unwrap());
        }
        let at: Vec<SocketAddr> = hosts.iter().map(Host::grpc_address).collect();
        let uri = |address: &SocketAddr| format!("http://{address}").parse().unwrap();
        let peers = PeersConfig { orchestrator: at[1..].iter().map(uri).collect(), ..PeersConfig::all_at(at[0]) };
        let (mut kits, mut last) = (Vec::new(), None);
        for service in ["nooble", "orchestrator", "orchestrator", "gateway"] {
            let key = Secret::new("the key of the mesh");
            let mut config = KitConfig::new(service, &redis.url(), folder.path().to_owned(), key, peers.clone());
            config.resolver = ResolverConfig { positive: ms(200), held: ms(200), negative: ms(100), capacity: 100 };
            config.jwt = tokens();
            config.admission = AdmissionConfig { keep: ms(2000), fresh: ms(200), held: ms(200), negative: ms(100) };
            change(&mut config);
            kits.push(Kit::start(config.clone()).await.unwrap());
            last = Some(config);
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
        change_kit(&mut kit, &at[1..]);
        let (http, stop, served) = serve(config, kit).await;
        let changes = kits[0].changes.clone();
        let (kit, config) = (kits.swap_remove(1), last.unwrap());
        Self {
            redis,
            changes,
            management,
            ingestion,
            orchestrator,
            http,
            stop,
            served,
            orchestrators,
            kit,
            config,
            _folder: folder,
        }
    }

    /// Starts another process of the gateway.
    pub(crate) async fn beside(&self, config: Config) -> (SocketAddr, CancellationToken) {
        let (http, stop, _) = serve(config, Kit::start(self.config.clone()).await.unwrap()).await;
        (http, stop)
    }
}

async fn serve(config: Config, kit: Kit) -> (SocketAddr, CancellationToken, JoinHandle<Result<(), gateway::Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let ending = stop.clone();
    let served = tokio::spawn(async move { gateway::serve(config, listener, &kit, ending.cancelled()).await });
    (http, stop, served)
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
