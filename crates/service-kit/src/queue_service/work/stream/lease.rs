//! One lease of a stream, from its action to what becomes of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use proto::queue::v1 as wire;
use queue::{Lent, OutsideVerdict as Verdict, Settlement, Stopped, Work};
use tokio::sync::oneshot;
use wire::stop::Cause;

/// A lease that its worker has not settled.
pub(super) struct Held {
    pub(super) work: Work,
    /// Whether the transport took it.
    pub(super) sent: Arc<AtomicBool>,
    end: oneshot::Sender<(Verdict, bool)>,
}

/// How the life of a lease ended.
pub(super) enum Event {
    /// Its worker settled it.
    Settled(u64, wire::SettleResult),
    /// The stream did.
    GivenBack,
    /// The queue did, or is about to.
    Stopped(u64, Stopped),
}

impl Held {
    pub(super) fn new(id: u64, lent: Lent) -> (Self, BoxFuture<'static, Event>) {
        let (end, told) = oneshot::channel();
        let held = Self { work: lent.work().clone(), sent: Arc::default(), end };
        (held, live(id, lent, told).boxed())
    }

    pub(super) fn fence(&self) -> u64 {
        self.work.action().delivery.as_ref().map_or(0, |delivery| delivery.fence)
    }

    /// Ends it. The worker is told what becomes of that when it asked for it.
    pub(super) fn end(self, verdict: Verdict, asked: bool) {
        let _ = self.end.send((verdict, asked));
    }
}

async fn live(id: u64, lent: Lent, told: oneshot::Receiver<(Verdict, bool)>) -> Event {
    tokio::select! {
        biased;
        Ok((verdict, asked)) = told => {
            let settlement = lent.settle(verdict).await;
            if asked { Event::Settled(id, result(settlement)) } else { Event::GivenBack }
        }
        why = lent.stopped() => Event::Stopped(id, why),
    }
}

fn result(settlement: Settlement) -> wire::SettleResult {
    match settlement {
        Settlement::Written => wire::SettleResult::Ok,
        Settlement::Stale => wire::SettleResult::Stale,
        Settlement::Gone => wire::SettleResult::Gone,
    }
}

pub(super) fn settled(lease_id: u64, result: wire::SettleResult, message: &str) -> wire::Settled {
    wire::Settled { lease_id, result: result.into(), message: message.to_owned() }
}

pub(super) fn stop(lease_id: u64, why: Stopped) -> wire::Stop {
    let (cause, reason) = match why {
        Stopped::Cancelled(reason) => (Cause::Cancelled, reason),
        // What the process gives back at its end is somebody else's then.
        Stopped::Lost | Stopped::Draining => (Cause::Lost, String::new()),
        Stopped::Overdue => (Cause::Overdue, String::new()),
    };
    wire::Stop { lease_id, cause: cause.into(), reason }
}
