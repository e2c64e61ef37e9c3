//! What every handler works with.

use std::sync::Arc;

use action::{AgentId, CollectionId};
use fault::{Failure, reason};
use http::HeaderMap;
use service_kit::{Admission, Caller, Changes, Kit, Peers, Resolver, Tasks};
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
    pub(crate) changes: Changes,
    pub(crate) admission: Admission,
    pub(crate) peers: Peers,
    pub(crate) quota: quota::Quota,
    pub(crate) hub: Hub,
    pub(crate) sockets: Sockets,
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
    /// Takes what a service is built from; the streams to the orchestrators run in `tasks`.
    pub(crate) fn new(config: Config, kit: &Kit, tasks: &Tasks) -> Self {
        let backlog = Backlog { frames: config.backlog_frames, bytes: config.backlog_bytes };
        Self(Arc::new(Inner {
            resolver: kit.resolver.clone(),
            changes: kit.changes.clone(),
            admission: kit.admission.clone(),
            peers: kit.peers.clone(),
            quota: kit.quota.clone(),
            hub: Hub::start(&kit.peers, tasks, backlog),
            sockets: Sockets::new(config.max_sockets),
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

    /// Checks that a caller may use an agent. Where access is not validated, a limited credential is kept to its agents still.
    pub(crate) async fn grant_agent(&self, caller: &Caller, agent: &AgentId) -> Result<(), Failure> {
        if !self.config.enable_access_validation {
            return caller.assert_agent(agent);
        }
        self.admission.access_agent(caller, agent).await.map(|_| ())
    }

    /// Checks that a caller may use a collection, where access is validated.
    pub(crate) async fn grant_collection(&self, caller: &Caller, collection: &CollectionId) -> Result<(), Failure> {
        if !self.config.enable_access_validation {
            return Ok(());
        }
        self.admission.access_collection(caller, collection).await.map(|_| ())
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
