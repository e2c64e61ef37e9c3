//! All processes of a service, and the one that takes the next call.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;

use super::Reach;
use super::dial::CONNECT;
use super::endpoint::{Endpoint, Flight, Use};
use super::replay::Copy;
use super::resolve::Target;
use super::wire::{Failed, Sender};
use crate::Tasks;

/// A call that could not be sent is tried on so many connections.
const MOST_TRIES: u32 = 4;
/// A name that could not be resolved is resolved again soon when a call needs it.
const RESOLVE_SOON: Duration = Duration::from_millis(200);

/// Nobody took a call, or who took it broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Away {
    /// No process of the service can be reached.
    #[error("nobody is there")]
    Nobody,
    /// The connection broke; whether the call was handled is not known.
    #[error("the connection broke")]
    Broken(#[source] h2::Error),
}

/// The processes of a service. Clones share everything; when the last is gone, the connections end.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    _guard: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    targets: Vec<Arc<Target>>,
    reach: Reach,
    endpoints: RwLock<Vec<Arc<Endpoint>>>,
    /// A name has been asked for, with whatever success.
    resolved: AtomicBool,
    started: AtomicBool,
    next: AtomicUsize,
    changes: watch::Sender<()>,
    resolve_now: Notify,
    tasks: Tasks,
    ending: CancellationToken,
}

/// What is known about who takes a call.
enum Choice {
    Taken(Arc<Endpoint>, Sender),
    Wait,
    Nobody,
}

impl Pool {
    /// Takes the addresses of a service. Nothing is opened before the first call.
    pub(super) fn new(uris: &[Uri], reach: Reach) -> Self {
        let targets: Vec<_> = uris.iter().filter_map(Target::of).map(Arc::new).collect();
        let fixed: Option<Vec<_>> = targets.iter().map(|target| Some((target.literal()?, target))).collect();
        let resolved = fixed.is_some();
        let endpoint =
            |(address, target): (SocketAddr, &Arc<Target>)| Arc::new(Endpoint::new(address, Arc::clone(target)));
        let endpoints = fixed.unwrap_or_default().into_iter().map(endpoint).collect();
        let ending = CancellationToken::new();
        let shared = Shared {
            targets,
            reach,
            endpoints: RwLock::new(endpoints),
            resolved: AtomicBool::new(resolved),
            started: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            changes: watch::Sender::new(()),
            resolve_now: Notify::new(),
            tasks: Tasks::default(),
            ending: ending.clone(),
        };
        Self { shared: Arc::new(shared), _guard: Arc::new(ending.drop_guard()) }
    }

    /// Returns the processes that are reached, or may be in a moment; all that are known when none is.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.shared.start();
        let known = self.shared.endpoints().clone();
        let reached: Vec<_> = known.iter().filter(|known| !matches!(known.usable(), Use::No)).cloned().collect();
        if reached.is_empty() { known } else { reached }
    }

    /// Sends a call to one of the processes, or to a certain one. One that was not sent is sent to another; one that only
    /// reads is sent once more when its connection breaks.
    pub(super) async fn send(
        &self,
        only: Option<&Arc<Endpoint>>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Away> {
        self.shared.start();
        let (mut request, mut copy) = Copy::of(request).await;
        for _ in 0..MOST_TRIES {
            let (endpoint, sender) = self.shared.choose(only).await?;
            address(&mut request, &endpoint.target);
            let flight = Flight::begin(endpoint);
            let answer = sender.send(request).await;
            flight.land();
            match answer {
                Ok(response) => return Ok(response),
                Err(Failed { error, unsent }) => {
                    request = match unsent.or_else(|| copy.take().map(Copy::into_request)) {
                        Some(again) => again,
                        None => return Err(Away::Broken(error)),
                    };
                }
            }
        }
        Err(Away::Nobody)
    }
}

impl Shared {
    /// Begins to look after connections, once.
    fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        for endpoint in self.endpoints().iter() {
            self.run(endpoint);
        }
        if !self.resolved.load(Ordering::Acquire) {
            self.tasks.spawn_apart(Arc::clone(self).follow_names());
        }
    }

    fn run(&self, endpoint: &Arc<Endpoint>) {
        let running = Arc::clone(endpoint).run(
            self.reach.tls.clone(),
            self.tasks.clone(),
            self.changes.clone(),
            self.ending.clone(),
        );
        self.tasks.spawn_apart(running);
    }

    /// Returns a process that takes a call, and waits for one if it must.
    async fn choose(&self, only: Option<&Arc<Endpoint>>) -> Result<(Arc<Endpoint>, Sender), Away> {
        match self.look(only) {
            Choice::Taken(endpoint, sender) => Ok((endpoint, sender)),
            Choice::Wait | Choice::Nobody => Box::pin(self.wait(only)).await,
        }
    }

    fn look(&self, only: Option<&Arc<Endpoint>>) -> Choice {
        match only {
            Some(endpoint) => pick(std::slice::from_ref(endpoint), 0),
            None => pick(&self.endpoints(), self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }

    async fn wait(&self, only: Option<&Arc<Endpoint>>) -> Result<(Arc<Endpoint>, Sender), Away> {
        // Subscribed before looking, so that no change between the two is missed.
        let mut changes = self.changes.subscribe();
        let choosing = async {
            loop {
                match self.look(only) {
                    Choice::Taken(endpoint, sender) => return Ok((endpoint, sender)),
                    Choice::Nobody if self.resolved.load(Ordering::Acquire) => {
                        self.resolve_now.notify_one();
                        return Err(Away::Nobody);
                    }
                    Choice::Wait | Choice::Nobody => {
                        let _closed = changes.changed().await;
                    }
                }
            }
        };
        // A try ends by itself within its time; who waits for the name and then for the connection has both.
        tokio::time::timeout(3 * CONNECT, choosing).await.unwrap_or(Err(Away::Nobody))
    }

    /// Asks for the addresses again and again.
    async fn follow_names(self: Arc<Self>) {
        let following = async {
            loop {
                let begun = Instant::now();
                self.resolve().await;
                self.resolved.store(true, Ordering::Release);
                self.changes.send_replace(());
                tokio::select! {
                    () = tokio::time::sleep(self.reach.resolve_every) => {}
                    () = self.resolve_now.notified() => {
                        tokio::time::sleep(RESOLVE_SOON.saturating_sub(begun.elapsed())).await;
                    }
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = self.ending.cancelled() => {}
        }
    }

    /// Adds who is new and lets go who is gone. A name that cannot be resolved keeps the addresses it had.
    async fn resolve(&self) {
        let mut listed: Vec<(SocketAddr, &Arc<Target>)> = Vec::new();
        for target in &self.targets {
            let asking = self.reach.resolver.resolve(&target.host, target.port);
            let mut addresses = match tokio::time::timeout(CONNECT, asking).await {
                Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
                failed => {
                    tracing::debug!(host = target.host, ?failed, "name not resolved");
                    let known = self.endpoints();
                    known.iter().filter(|known| Arc::ptr_eq(&known.target, target)).map(|known| known.address).collect()
                }
            };
            addresses.sort_unstable();
            addresses.dedup();
            listed.extend(addresses.into_iter().map(|address| (address, target)));
        }
        let before = self.endpoints().clone();
        let same =
            |known: &&Arc<Endpoint>, address, target| known.address == address && Arc::ptr_eq(&known.target, target);
        let mut now: Vec<Arc<Endpoint>> = Vec::with_capacity(listed.len());
        for (address, target) in listed {
            let known = before.iter().find(|known| same(known, address, target)).cloned();
            now.push(known.unwrap_or_else(|| {
                tracing::debug!(host = target.host, %address, "peer appeared");
                let endpoint = Arc::new(Endpoint::new(address, Arc::clone(target)));
                self.run(&endpoint);
                endpoint
            }));
        }
        let gone = before.into_iter().filter(|known| !now.iter().any(|still| Arc::ptr_eq(still, known)));
        let gone: Vec<_> = gone.collect();
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = now;
        for endpoint in gone {
            tracing::debug!(address = %endpoint.address, "peer disappeared");
            endpoint.leave();
        }
    }

    fn endpoints(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Endpoint>>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes those that are ready in turn, and of two neighbours in turn the one that has fewer calls: an even spread while all
/// are alike, and less for one that is slow.
fn pick(endpoints: &[Arc<Endpoint>], turn: usize) -> Choice {
    let (mut ready, mut last, mut soon) = (Vec::with_capacity(endpoints.len()), None, false);
    for endpoint in endpoints {
        match endpoint.usable() {
            Use::Ready(sender) => ready.push((endpoint, sender)),
            Use::Last(sender) => last = Some((endpoint, sender)),
            Use::Soon => soon = !endpoint.left() || soon,
            Use::No => {}
        }
    }
    if !ready.is_empty() {
        let (first, second) = (turn % ready.len(), (turn + 1) % ready.len());
        let taken = if ready[second].0.calls() < ready[first].0.calls() { second } else { first };
        let (endpoint, sender) = ready.swap_remove(taken);
        return Choice::Taken(Arc::clone(endpoint), sender);
    }
    if let Some((endpoint, sender)) = last {
        return Choice::Taken(Arc::clone(endpoint), sender);
    }
    let again = endpoints.iter().filter(|endpoint| !endpoint.left() && endpoint.try_again()).count();
    if soon || again > 0 { Choice::Wait } else { Choice::Nobody }
}

/// Writes where a call goes to.
fn address(request: &mut Request<Body>, target: &Target) {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(target.authority.clone());
    parts.path_and_query = Some(path);
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path make a URL");
    *request.version_mut() = Version::HTTP_2;
}
