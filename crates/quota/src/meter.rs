//! Usage of tiers about which nothing has to be decided: gathered here, written now and then.
//!
//! What is being written stays here as a batch with a number until Redis has said that it is written. Whoever writes may be
//! dropped at any moment, and an answer may get lost: the batch goes out again under its number, which Redis counts once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use action::{TenantId, Tier};
use uuid::Uuid;

/// Most tenants whose usage waits; what comes beyond is written at once.
const WAITING: usize = 10_000;

/// What waits to be written.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Names this process in the marks of what it has written.
    pub(crate) process: Uuid,
    gathered: Mutex<Gathered>,
    /// Held by the one who writes: the batches of a tenant go out in the order of their numbers.
    turn: tokio::sync::Mutex<()>,
}

/// Whoever has it may write.
pub(crate) type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

/// Whose usage it is.
pub(crate) type Of = (TenantId, Tier);

/// Requests by what they are counted as; less than none where more was taken back than came since the last batch.
pub(crate) type Counts = HashMap<&'static str, i64>;

#[derive(Debug, Default)]
struct Gathered {
    waiting: HashMap<Of, Counts>,
    /// What was sent, and is not known to be written.
    sent: HashMap<Of, Batch>,
    last: u64,
}

/// Usage that is written together, once.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Grows from batch to batch.
    pub(crate) number: u64,
    pub(crate) counts: Counts,
}

impl Default for Meter {
    fn default() -> Self {
        Self { process: Uuid::new_v4(), gathered: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl Meter {
    /// Counts a request; tells whether it is time to write because too much waits.
    pub(crate) fn count(&self, tenant: &TenantId, tier: Tier, field: &'static str) -> bool {
        self.gathered().add(tenant, tier, field, 1)
    }

    /// Takes a request back that was counted.
    pub(crate) fn take_back(&self, tenant: &TenantId, tier: Tier, field: &'static str) {
        self.gathered().add(tenant, tier, field, -1);
    }

    /// Waits until nobody else writes.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        self.turn.lock().await
    }

    /// Like [`Meter::turn`]; none where somebody writes.
    pub(crate) fn turn_now(&self) -> Option<Turn<'_>> {
        self.turn.try_lock().ok()
    }

    /// Returns whose batches are to be written: first those that were sent before, then what has come since.
    pub(crate) fn due(&self) -> Vec<Of> {
        let gathered = self.gathered();
        gathered.sent.keys().chain(gathered.waiting.keys()).cloned().collect()
    }

    /// Returns what is to be written next of somebody: what was sent before and perhaps not written, or else what waits.
    pub(crate) fn next(&self, of: &Of) -> Option<Batch> {
        let mut gathered = self.gathered();
        if !gathered.sent.contains_key(of) {
            let counts = gathered.waiting.remove(of)?;
            gathered.last += 1;
            let batch = Batch { number: gathered.last, counts };
            gathered.sent.insert(of.clone(), batch);
        }
        gathered.sent.get(of).cloned()
    }

    /// Forgets what was sent of somebody: it is written.
    pub(crate) fn written(&self, of: &Of) {
        self.gathered().sent.remove(of);
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn add(&mut self, tenant: &TenantId, tier: Tier, field: &'static str, number: i64) -> bool {
        let of = (tenant.clone(), tier);
        // While nothing can be written, what is gathered has an end, too.
        if self.waiting.len() < 2 * WAITING || self.waiting.contains_key(&of) {
            let counts = self.waiting.entry(of.clone()).or_default();
            *counts.entry(field).or_default() += number;
            counts.retain(|_, number| *number != 0);
            if counts.is_empty() {
                self.waiting.remove(&of);
            }
        }
        self.waiting.len() >= WAITING
    }
}
