//! What every handler works with.

use std::sync::Arc;

use fault::{Failure, reason};
use http::HeaderMap;
use service_kit::{Admission, Caller, Kit, Peers, Resolver, Signer, Tasks};
use session::connections::Pace;
use session::{Connections, Tickets};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::body::Bounds;
use crate::credential::Credential;
use crate::health::Pulse;
use crate::socket::drain::Sockets;
use crate::socket::hub::{Backlog, Hub};

/// The gateway, inside. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Edge(Arc<Inner>);

/// See [`Edge`].
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) resolver: Resolver,
    pub(crate) admission: Admission,
    pub(crate) peers: Peers,
    pub(crate) quota: quota::Quota,
    pub(crate) hub: Hub,
    pub(crate) sockets: Sockets,
    /// Who is connected, all processes together.
    pub(crate) connections: Connections,
    pub(crate) tickets: Tickets,
    pub(crate) signer: Signer,
    /// How long a ticket's owner is believed on a socket.
    pub(crate) proof: std::time::Duration,
    pub(crate) pulse: Pulse,
    /// Cancelled when the process begins to end.
    pub(crate) draining: CancellationToken,
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
            resolver: kit.resolver.clone(),
            admission: kit.admission.clone(),
            peers: kit.peers.clone(),
            quota: kit.quota.clone(),
            hub: Hub::start(&kit.peers, tasks, backlog),
            sockets: Sockets::new(config.max_sockets),
            connections,
            tickets: Tickets::new(kit.redis.clone()),
            signer: kit.signer.clone(),
            proof: kit.proof,
            pulse: Pulse::new(kit.clone()),
            draining: CancellationToken::new(),
            config,
        }))
    }

    /// Returns who sends a request, proved by its credential.
    pub(crate) async fn prove(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let credential = Credential::of(headers)?;
        self.resolve(&credential).await
    }

    /// Returns whom a credential belongs to: a tenant whose calls are accepted.
    pub(crate) async fn resolve(&self, credential: &Credential) -> Result<Caller, Failure> {
        let caller = self.resolver.resolve(credential.expose()).await?;
        caller.tenant()?;
        Ok(caller)
    }

    /// Returns how much of a JSON body is read.
    pub(crate) fn body(&self) -> Bounds {
        Bounds { bytes: self.config.max_body_bytes, time: self.config.body_timeout }
    }

    /// Makes a request to another service, with the deadline of the edge.
    pub(crate) fn call<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.config.call_timeout);
        request
    }

    /// Refuses new work while the process ends.
    pub(crate) fn accept_work(&self) -> Result<(), Failure> {
        if !self.draining.is_cancelled() {
            return Ok(());
        }
        let text = "this process is shutting down; another one will answer";
        Err(Failure::new(&reason::DRAINING, text).retry_after(std::time::Duration::from_secs(1)))
    }
}
