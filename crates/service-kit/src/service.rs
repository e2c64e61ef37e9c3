//! What a service crate hands to the host.

use std::convert::Infallible;
use std::future::Future;

use action::Domain;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;

/// Most bytes of a message that a façade says, and as many as it hears: what clients of gRPC take unless they are told otherwise.
/// A façade that lists keeps its pages well below.
pub const MOST_MESSAGE: usize = 4 * 1024 * 1024;

pub(crate) type Mount = Box<dyn FnOnce(Routes) -> Routes + Send>;
pub(crate) type Work = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// A service: its façades, its workers, and what its health depends on.
///
/// ```ignore
/// Service::new(Domain::Query)
///     .serve(QueryServiceServer::new(Grpc::new(query.clone())).max_encoding_message_size(MOST_MESSAGE))
///     .work(move |shutdown| worker(query).run(shutdown))
/// ```
pub struct Service {
    pub(crate) domain: Option<Domain>,
    pub(crate) names: Vec<&'static str>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) workers: Vec<Work>,
    pub(crate) needs_redis: bool,
}

impl Service {
    /// Makes the service of a domain. Its health depends on Redis and on the domain's claim loops.
    pub fn new(domain: Domain) -> Self {
        Self { domain: Some(domain), ..Self::outside_of_domains() }
    }

    /// Makes a service that belongs to no domain.
    pub fn outside_of_domains() -> Self {
        Self { domain: None, names: Vec::new(), mounts: Vec::new(), workers: Vec::new(), needs_redis: true }
    }

    /// Adds a façade, the generated server of a gRPC service.
    #[must_use]
    pub fn serve<S>(mut self, server: S) -> Self
    where
        S: tower::Service<http::Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.mounts.push(Box::new(move |routes| routes.add_service(server)));
        self
    }

    /// Adds a loop that works until it is told to stop, e.g. [`queue::Worker::run`]. It is given the drain's grace.
    #[must_use]
    pub fn work<W, F>(mut self, worker: W) -> Self
    where
        W: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.workers.push(Box::new(move |shutdown| Box::pin(worker(shutdown))));
        self
    }

    /// Leaves the workers out, where another process runs them.
    #[must_use]
    pub fn without_workers(mut self) -> Self {
        self.workers.clear();
        self
    }

    /// Says that the service is healthy without Redis.
    #[must_use]
    pub fn without_redis(mut self) -> Self {
        self.needs_redis = false;
        self
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("domain", &self.domain)
            .field("names", &self.names)
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}
