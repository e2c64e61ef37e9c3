//! One process of a service: its connection, kept open as long as the process is listed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::dial::{dial, probe};
use super::resolve::Target;
use super::wire::Sender;
use crate::Tasks;
use crate::tls::MeshTls;

/// A call that a caller gave up after this long without an answer makes the connection doubtful.
const DOUBT_AFTER: Duration = Duration::from_secs(1);

/// Time between two tries; it doubles, and no two processes try at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection that lasted less counts as a try that failed.
const SETTLED: Duration = Duration::from_secs(1);

/// Calls may ask for the next try, but not more often than this.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// A process of a service.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) target: Arc<Target>,
    state: Mutex<State>,
    calls: AtomicUsize,
    wake: Notify,
    gone: CancellationToken,
}

enum State {
    /// A try is under way.
    Connecting,
    /// Takes calls.
    Live(Sender),
    /// Takes calls only when nobody else does: it is asked whether it still answers.
    Doubted(Sender),
    /// Tried again later.
    Failed(Instant),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "Connecting",
            Self::Live(_) => "Live",
            Self::Doubted(_) => "Doubted",
            Self::Failed(_) => "Failed",
        })
    }
}

/// What an endpoint is good for right now.
pub(super) enum Use {
    /// Takes calls.
    Ready(Sender),
    /// Takes calls if nobody else does.
    Last(Sender),
    /// May take calls in a moment.
    Soon,
    /// Does not.
    No,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, target: Arc<Target>) -> Self {
        Self {
            address,
            target,
            state: Mutex::new(State::Connecting),
            calls: AtomicUsize::new(0),
            wake: Notify::new(),
            gone: CancellationToken::new(),
        }
    }

    /// Tells what the endpoint is good for.
    pub(super) fn usable(&self) -> Use {
        match &*self.state() {
            State::Live(sender) | State::Doubted(sender) if sender.is_closed() => Use::Soon,
            State::Live(sender) => Use::Ready(sender.clone()),
            State::Doubted(sender) => Use::Last(sender.clone()),
            State::Connecting => Use::Soon,
            State::Failed(_) => Use::No,
        }
    }

    /// Has a failed endpoint tried again now, unless that was just done. Returns whether it is.
    pub(super) fn try_again(&self) -> bool {
        let mut state = self.state();
        if !matches!(&*state, State::Failed(at) if at.elapsed() >= LEAST_PAUSE) {
            return false;
        }
        *state = State::Connecting;
        self.wake.notify_one();
        true
    }

    /// Ends the connection when its calls have ended, and tries no more.
    pub(super) fn leave(&self) {
        self.gone.cancel();
    }

    /// Tells whether the endpoint was let go.
    pub(super) fn left(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Returns how many calls wait for their answer.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Keeps a connection until the endpoint is let go or everything ends; tells of every change.
    pub(super) async fn run(
        self: Arc<Self>,
        tls: Option<MeshTls>,
        tasks: Tasks,
        changes: watch::Sender<()>,
        ending: CancellationToken,
    ) {
        let living = async {
            let mut failures = 0_u32;
            loop {
                let begun = Instant::now();
                match dial(self.address, &self.target, tls.as_ref(), &tasks).await {
                    Ok(sender) => {
                        self.turn(State::Live(sender.clone()), &changes);
                        self.keep(sender, &changes).await;
                        failures = if begun.elapsed() < SETTLED { failures.saturating_add(1) } else { 0 };
                        self.turn(State::Connecting, &changes);
                        if failures == 0 {
                            continue;
                        }
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::debug!(address = %self.address, %error, cause, failures, "peer not reached");
                    }
                }
                self.turn(State::Failed(Instant::now()), &changes);
                self.pause(failures).await;
                self.turn(State::Connecting, &changes);
            }
        };
        tokio::select! {
            () = living => {}
            () = self.gone.cancelled() => {}
            () = ending.cancelled() => {}
        }
        self.turn(State::Failed(Instant::now()), &changes);
    }

    /// Keeps a connection until it ends, or does not answer when it is asked. Its calls end by themselves.
    async fn keep(&self, sender: Sender, changes: &watch::Sender<()>) {
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = self.wake.notified() => {
                    if let Err(error) = probe(&sender, &self.target).await {
                        tracing::warn!(address = %self.address, %error, "peer does not answer any more");
                        return;
                    }
                    self.turn(State::Live(sender.clone()), changes);
                }
            }
        }
    }

    async fn pause(&self, failures: u32) {
        let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(7)).min(LONGEST_PAUSE);
        let pause = longest.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.wake.notified() => {}
        }
    }

    /// Asks whether the connection still answers, and spares it meanwhile.
    fn doubt(&self) {
        let mut state = self.state();
        if let State::Live(sender) = &*state {
            *state = State::Doubted(sender.clone());
            self.wake.notify_one();
        }
    }

    fn turn(&self, state: State, changes: &watch::Sender<()>) {
        *self.state() = state;
        changes.send_replace(());
    }

    /// A state is whole at every moment, also when somebody panicked beside it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way. Dropped without an answer after a while, it casts doubt on the endpoint.
pub(super) struct Flight {
    endpoint: Arc<Endpoint>,
    begun: Instant,
    landed: bool,
}

impl Flight {
    pub(super) fn begin(endpoint: Arc<Endpoint>) -> Self {
        endpoint.calls.fetch_add(1, Ordering::Relaxed);
        Self { endpoint, begun: Instant::now(), landed: false }
    }

    /// Says that the connection answered, or failed by itself.
    pub(super) fn land(mut self) {
        self.landed = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.endpoint.calls.fetch_sub(1, Ordering::Relaxed);
        if !self.landed && self.begun.elapsed() >= DOUBT_AFTER {
            self.endpoint.doubt();
        }
    }
}
