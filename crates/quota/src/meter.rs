//! Usage of tiers about which nothing has to be decided: gathered here, written now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use action::{TenantId, Tier};

/// Most tenants whose usage waits; what comes beyond is written at once.
const WAITING: usize = 10_000;

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    waiting: Mutex<HashMap<(TenantId, Tier), Counts>>,
}

/// Requests by what they are counted as.
pub(crate) type Counts = HashMap<&'static str, u64>;

impl Meter {
    /// Counts a request; tells whether it is time to write because too much waits.
    pub(crate) fn count(&self, tenant: &TenantId, tier: Tier, field: &'static str) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting.entry((tenant.clone(), tier)).or_default().entry(field).or_default() += 1;
        waiting.len() >= WAITING
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> HashMap<(TenantId, Tier), Counts> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives back what could not be written, unless there is no room.
    pub(crate) fn give_back(&self, tenant: TenantId, tier: Tier, counts: Counts) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            let entry = waiting.entry((tenant, tier)).or_default();
            for (field, number) in counts {
                *entry.entry(field).or_default() += number;
            }
        }
    }
}
