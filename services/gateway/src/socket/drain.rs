//! The sockets of the process: each has its place, and they end when it does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use action::TenantId;
use fault::Failure;
use session::connections::Lease;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::dozing::Dozing;
use crate::places::{Doorway, Full, Places, Seat};

/// Time between two closes when all sockets are closed, so that their clients do not come back as one.
const APART: Duration = Duration::from_millis(2);

/// Things that may be looked at besides, for each socket that there may be.
const LOOKS_PER_SOCKET: usize = 4;

/// All sockets of the process. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    places: Arc<Places>,
    /// Places of what sockets look at besides their sessions.
    looks: Arc<Places>,
    tracker: TaskTracker,
    closing: CancellationToken,
    cut: CancellationToken,
}

/// One socket's place; given back when it is dropped, or before.
#[derive(Debug)]
pub(crate) struct Place {
    kind: Kind,
    /// Counts it among the sockets of all processes.
    lease: Option<Lease>,
    _tracked: TaskTrackerToken,
}

#[derive(Debug)]
enum Kind {
    /// Nobody has proved who they are.
    Stranger { _doorway: Doorway },
    /// Of a tenant.
    Seat { _seat: Seat },
    /// Given back.
    Left,
}

impl Place {
    /// Gives the place to somebody else while the socket says goodbye; a drain still waits for it. Strangers keep theirs:
    /// otherwise there would be as many as can be refused within a goodbye.
    pub(crate) fn leave(&mut self) {
        if matches!(self.kind, Kind::Seat { .. }) {
            self.kind = Kind::Left;
            self.lease = None;
        }
    }

    /// Tells whether it counts among the sockets of all processes.
    pub(crate) fn counts(&self) -> bool {
        self.lease.is_some()
    }

    /// Lets it count among the sockets of all processes.
    pub(crate) fn count(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }
}

impl Sockets {
    /// Takes the greatest number of sockets.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Places::new(most)),
            looks: Arc::new(Places::new(most.saturating_mul(LOOKS_PER_SOCKET))),
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Takes a place of a tenant that has proved who it is.
    pub(crate) fn enter(&self, tenant: &TenantId) -> Result<Place, Full> {
        let kind = Kind::Seat { _seat: self.places.seat(tenant)? };
        Ok(Place { kind, lease: None, _tracked: self.tracker.token() })
    }

    /// Takes a place for something that a socket of a tenant looks at besides its session: so many in all, at most half of
    /// them of one tenant, so that nobody takes the streams to the orchestrators for themselves.
    pub(super) fn look(&self, tenant: &TenantId) -> Result<Seat, Failure> {
        self.looks.seat(tenant).map_err(|full| full.of("subscriptions"))
    }

    /// Takes a place of somebody who has yet to prove who they are.
    pub(crate) fn knock(&self, from: IpAddr) -> Result<Place, Full> {
        let kind = Kind::Stranger { _doorway: self.places.stand(from)? };
        Ok(Place { kind, lease: None, _tracked: self.tracker.token() })
    }

    /// Changes the place of a stranger for one of the tenant that they proved to be; others keep theirs.
    pub(crate) fn proved(&self, place: &mut Place, tenant: &TenantId) -> Result<(), Full> {
        if matches!(place.kind, Kind::Stranger { .. }) {
            place.kind = Kind::Seat { _seat: self.places.seat(tenant)? };
        }
        Ok(())
    }

    /// Returns how many sockets there are whose owners are proved.
    pub(crate) fn open(&self) -> usize {
        self.places.taken()
    }

    /// Returns the greatest number of sockets.
    pub(crate) fn most(&self) -> usize {
        self.places.most()
    }

    /// Completes when the drain begins, with the time after which this socket shall close, another one for each.
    pub(super) async fn closing(&self) -> Duration {
        self.closing.cancelled().await;
        let spread = APART.saturating_mul(u32::try_from(self.open()).unwrap_or(u32::MAX)).min(Duration::from_secs(5));
        spread.mul_f64(rand::random())
    }

    /// Completes when this socket shall close.
    pub(super) async fn farewell(&self) {
        tokio::time::sleep(self.closing().await).await;
    }

    /// Begins to close all sockets.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.tracker.close();
    }

    /// Ends all sockets that are left, whatever they do.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Runs what a socket does until it is done or cut off.
    pub(crate) async fn run(&self, life: impl Future<Output = ()>) {
        let cut = Dozing::new(Box::pin(self.cut.cancelled()));
        tokio::select! {
            biased;
            () = life => {}
            () = cut => {}
        }
    }

    /// Completes when no socket is left.
    pub(crate) async fn wait(&self) {
        self.tracker.wait().await;
    }
}
