//! What runs while a host does.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use action::Domain;
use futures::FutureExt as _;
use proto::queue::v1::queue_service_server::SERVICE_NAME as QUEUE_SERVICE;
use proto::task::v1::task_service_server::SERVICE_NAME as TASK_SERVICE;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::ServiceBuilder;

use super::panic::PanicLayer;
use super::shed::ShedLayer;
use super::trace::TraceLayer;
use super::{Error, Front, Host, HostConfig, Part, server_reflection};
use crate::around::Layered;
use crate::deadline::{DeadlineLayer, Ending};
use crate::identity::IdentityLayer;
use crate::service::Work;
use crate::{Kit, Service, admin, queue_service, task_service, tls};

/// Most calls at once over one connection.
const MOST_STREAMS: u32 = 4000;
/// Most streams of a connection that were reset before they were looked at.
const MOST_RESETS: usize = 50;
/// Most bytes of the headers of a call.
const MOST_HEADER_BYTES: u32 = 32 * 1024;

const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// What was started, and what ends it.
pub(super) struct Running {
    pub(super) config: HostConfig,
    pub(super) grpc: JoinHandle<()>,
    pub(super) workers: Vec<JoinHandle<()>>,
    pub(super) signals: Signals,
    pub(super) front: Front,
    broken: mpsc::Receiver<Error>,
}

/// The orders of a drain, in the order in which they are given.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// Workers stop claiming.
    pub(super) claiming: CancellationToken,
    /// The gRPC server stops accepting and sends GOAWAY.
    pub(super) accepting: CancellationToken,
    /// Streams, then all calls, are cut off.
    pub(super) ending: Ending,
    /// The admin port and the health monitor end.
    pub(super) telling: CancellationToken,
}

impl Running {
    /// Waits for something to end that must not.
    pub(super) async fn broken(&mut self) -> Error {
        self.broken.recv().await.unwrap_or(Error::Worker)
    }
}

/// Starts everything on the addresses that were bound.
pub(super) fn start(host: Host, kit: &Kit) -> Result<Running, Error> {
    let Host { config, grpc, admin, services, front } = host;
    let Assembly { routes, workers, domains } = assemble(services, config.part, kit)?;
    let signals = Signals::default();
    let (report, broken) = mpsc::channel(1);
    let server = serve(grpc, routes, &config, kit, signals.clone(), report.clone());
    let grpc = kit.tasks.spawn(server);
    let run = |worker| kit.tasks.spawn(guard(worker, signals.claiming.clone(), report.clone()));
    let workers = workers.into_iter().map(run).collect();
    kit.tasks.spawn(kit.health.clone().run(kit.redis.clone(), signals.telling.clone()));
    if let Some(listener) = admin {
        kit.tasks.spawn(admin::serve(listener, kit.clone(), domains, signals.telling.clone()));
    }
    Ok(Running { config, grpc, workers, signals, front, broken })
}

/// What the services come to when they are put together.
struct Assembly {
    routes: Routes,
    workers: Vec<Work>,
    domains: Vec<Domain>,
}

fn assemble(services: Vec<Service>, part: Part, kit: &Kit) -> Result<Assembly, Error> {
    let mut routes = Routes::default().add_service(kit.health.server());
    let (mut served, mut workers, mut domains) = (vec![HEALTH_SERVICE], Vec::<Work>::new(), Vec::new());
    if part.serves() {
        let desks = queue_service::Desks::new(kit);
        routes = routes
            .add_service(task_service::TaskFacade::server(kit))
            .add_service(queue_service::QueueFacade::server(kit, desks.clone()));
        // What is leased to workers from outside ends with the workers of the process.
        workers.push(Box::new(move |claiming| Box::pin(desks.run(claiming))));
        for name in [TASK_SERVICE, QUEUE_SERVICE] {
            kit.health.watch(name, true, || true);
            served.push(name);
        }
    }
    for service in services {
        let works = part.works() && !service.workers.is_empty();
        for name in &service.names {
            let (queue, domain) = (kit.queue.clone(), service.domain.filter(|_| works));
            kit.health.watch(name, service.needs_redis, move || domain.is_none_or(|domain| queue.healthy(domain)));
        }
        domains.extend(service.domain);
        if works {
            workers.extend(service.workers);
        }
        if part.serves() {
            served.extend(&service.names);
            routes = service.mounts.into_iter().fold(routes, |routes, mount| mount(routes));
        }
    }
    Ok(Assembly { routes: server_reflection(routes, &served)?, workers, domains })
}

/// Runs the gRPC server until it is told to stop accepting and all connections have ended.
fn serve(
    listener: TcpListener,
    routes: Routes,
    config: &HostConfig,
    kit: &Kit,
    signals: Signals,
    report: mpsc::Sender<Error>,
) -> impl Future<Output = ()> + Send + 'static {
    let stack = ServiceBuilder::new()
        // Outermost, so that a call that is refused further in has a span and is measured.
        .layer(Layered::new(TraceLayer))
        // Refuses at once rather than queueing without bound; before anything that costs.
        .layer(Layered::new(ShedLayer::new(config.max_calls)))
        // DEADLINE_EXCEEDED in time, where tonic alone says CANCELLED; around identity, so that asking management counts.
        .layer(Layered::new(DeadlineLayer::new(config.deadline, signals.ending)))
        // A façade sees a caller that was proved; nobody else gets further in.
        .layer(Layered::new(IdentityLayer::new(kit.signer.clone(), kit.resolver.clone())))
        // Innermost: a defect is the INTERNAL of one call, and says nothing about the others on its connection.
        .layer(Layered::new(PanicLayer))
        .into_inner();
    let incoming = tls::accept(listener, kit.mesh_tls.clone(), config.max_connections, &kit.tasks);
    let server = Server::builder()
        // A peer that vanished without a word gives up its streams.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        // A gateway sends everything over one connection; a caller from outside is one among many.
        .max_concurrent_streams(MOST_STREAMS)
        // Streams that are opened to be reset at once end their connection.
        .http2_max_pending_accept_reset_streams(Some(MOST_RESETS))
        .http2_max_header_list_size(MOST_HEADER_BYTES)
        .layer(stack)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, signals.accepting.cancelled_owned());
    async move {
        if let Err(error) = server.await {
            let _ = report.try_send(Error::Server(error));
        }
    }
}

/// Runs a worker and tells when it ends before it was told to.
async fn guard(worker: Work, claiming: CancellationToken, report: mpsc::Sender<Error>) {
    let ended = AssertUnwindSafe(worker(claiming.clone())).catch_unwind().await;
    if ended.is_err() || !claiming.is_cancelled() {
        let _ = report.try_send(Error::Worker);
    }
}
