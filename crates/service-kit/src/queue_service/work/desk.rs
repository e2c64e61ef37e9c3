//! Where the streams of a domain sit, and who hands actions out to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use action::Domain;
use proto::queue::v1 as wire;
use queue::{Credits, Lender, Lent, Queue};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;

use super::seat::{Seat, Seated};
use super::stream::{Answer, Pace, Stream};
use crate::identity::Standing;
use crate::{Kit, Tasks};

/// The desks of all domains. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Desks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    tasks: Tasks,
    silence: Duration,
    grace: Duration,
    proof: Duration,
    open: Mutex<HashMap<Domain, Arc<Desk>>>,
    /// The process shuts down.
    closing: CancellationToken,
    /// Lenders and streams.
    running: TaskTracker,
}

/// The streams of one domain.
#[derive(Debug)]
pub(super) struct Desk {
    credits: Credits,
    seats: Mutex<Vec<Seat>>,
}

impl Desks {
    pub(crate) fn new(kit: &Kit) -> Self {
        let shared = Shared {
            queue: kit.queue.clone(),
            tasks: kit.tasks.clone(),
            silence: kit.silence,
            grace: kit.grace,
            proof: kit.proof,
            open: Mutex::default(),
            closing: CancellationToken::new(),
            running: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for the end of claiming; then has streams go elsewhere and waits until what they hold is settled or given back.
    pub(crate) async fn run(self, claiming: CancellationToken) {
        claiming.cancelled().await;
        self.shared.closing.cancel();
        self.shared.running.close();
        self.shared.running.wait().await;
    }

    /// Serves a stream until it ends.
    pub(super) fn serve(&self, standing: Standing, inbound: Streaming<wire::WorkRequest>, out: mpsc::Sender<Answer>) {
        let shared = &self.shared;
        let pace =
            Pace { silence: shared.silence, grace: shared.grace, proof: shared.proof, closing: shared.closing.clone() };
        let desks = self.clone();
        let serving = async move { Stream::serve(&desks, standing, inbound, out, pace).await };
        shared.tasks.spawn(shared.running.track_future(serving));
    }

    /// Returns the desk of a domain. The first one who asks opens it.
    pub(super) fn of(&self, domain: Domain) -> Arc<Desk> {
        let shared = &self.shared;
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = open.entry(domain).or_insert_with(|| {
            Arc::new_cyclic(|desk: &Weak<Desk>| {
                let desk = Weak::clone(desk);
                let lender = Lender::new(shared.queue.clone(), domain, move |lent| {
                    // Without a desk it is given back.
                    if let Some(desk) = desk.upgrade() {
                        desk.hand_out(lent);
                    }
                });
                let credits = lender.credits();
                shared.tasks.spawn(shared.running.track_future(lender.run(shared.closing.clone())));
                Desk { credits, seats: Mutex::default() }
            })
        });
        Arc::clone(desk)
    }
}

impl Desk {
    /// Seats a stream, and returns what comes to it.
    pub(super) fn sit(self: &Arc<Self>) -> (Seated, mpsc::UnboundedReceiver<Lent>) {
        // As long as the credits that its worker gave: it needs no bound of its own.
        let (to, lent) = mpsc::unbounded_channel();
        let mut seats = self.seats();
        let id = seats.iter().map(|seat| seat.id).max().unwrap_or(0) + 1;
        seats.push(Seat { id, credits: 0, leased: 0, to });
        (Seated::new(Arc::clone(self), id), lent)
    }

    /// Gives an action to the stream that has least to do for what it asked for.
    fn hand_out(&self, lent: Lent) {
        let mut seats = self.seats();
        let next = seats.iter_mut().filter(|seat| seat.credits > 0).min_by(|one, other| one.load(other));
        match next {
            Some(seat) => {
                seat.credits -= 1;
                seat.leased += 1;
                let _ = seat.to.send(lent);
            }
            // Whoever asked for it is gone. It is given back, and the credit that it used up was taken back before.
            None => self.credits.grant(1),
        }
    }

    pub(super) fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn credits(&self) -> &Credits {
        &self.credits
    }
}
