//! What a client says it has dealt with, told on a few times a second at most: each telling is a write in the session's log,
//! and the last one says it all. No clock of its own.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two tellings.
const APART: Duration = Duration::from_millis(250);

/// Everything up to `seq` was dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// Numbering that `seq` belongs to; absent before the client was shown any.
    pub(super) epoch: Option<String>,
    pub(super) seq: u64,
}

/// The greatest ack that was not told on.
#[derive(Clone, Debug)]
pub(super) struct Acks {
    shown: Option<String>,
    waiting: Option<Ack>,
    next: Instant,
}

impl Acks {
    /// Begins with nothing to tell; the first ack may be told at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { shown: None, waiting: None, next: now }
    }

    /// Remembers the numbering of what the client is shown: acks that name none mean it.
    pub(super) fn show(&mut self, epoch: &str) {
        if self.shown.as_deref() != Some(epoch) {
            self.shown = Some(epoch.to_owned());
        }
    }

    /// Notes an ack. It takes the place of a smaller one, and of one in another numbering.
    pub(super) fn note(&mut self, epoch: Option<String>, seq: u64) {
        let epoch = epoch.or_else(|| self.shown.clone());
        let greater = |waiting: &Ack| waiting.epoch == epoch && waiting.seq >= seq;
        if !self.waiting.as_ref().is_some_and(greater) {
            self.waiting = Some(Ack { epoch, seq });
        }
    }

    /// Returns when there is something to tell; none while there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|_| self.next)
    }

    /// Takes out what there is to tell.
    pub(super) fn take(&mut self, now: Instant) -> Option<Ack> {
        let ack = self.waiting.take()?;
        self.next = now + APART;
        Some(ack)
    }
}
