//! The sockets of the process: how many there may be, and how they end when it does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Time between two closes when all sockets are closed, so that their clients do not come back as one.
const APART: Duration = Duration::from_millis(2);

/// All sockets of the process. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    places: Arc<Semaphore>,
    most: usize,
    tracker: TaskTracker,
    closing: CancellationToken,
    cut: CancellationToken,
}

/// One socket's place; given back when it is dropped, or before.
#[derive(Debug)]
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    _tracked: TaskTrackerToken,
}

impl Place {
    /// Gives the place to somebody else while the socket says goodbye; a drain still waits for it.
    pub(crate) fn leave(&mut self) {
        self.permit = None;
    }
}

impl Sockets {
    /// Takes the greatest number of sockets.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Takes a place; none when all are taken.
    pub(crate) fn enter(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { permit: Some(permit), _tracked: self.tracker.token() })
    }

    /// Returns how many sockets there are.
    pub(crate) fn open(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// Returns the greatest number of sockets.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Completes when this socket shall close: some time after the drain began, another one for each.
    pub(crate) async fn farewell(&self) {
        self.closing.cancelled().await;
        let spread = APART.saturating_mul(u32::try_from(self.open()).unwrap_or(u32::MAX)).min(Duration::from_secs(5));
        tokio::time::sleep(spread.mul_f64(rand::random())).await;
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
        tokio::select! {
            () = life => {}
            () = self.cut.cancelled() => {}
        }
    }

    /// Completes when no socket is left.
    pub(crate) async fn wait(&self) {
        self.tracker.wait().await;
    }
}
