//! Numbers that grow with every change, so that what was learned before one is told from what was learned after.
//!
//! Dropping what is remembered would not be enough: an answer that is under way while the change arrives would be remembered
//! after it. An answer carries the number from before its question instead.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use action::TenantId;

use super::Change;

/// Tenants that share a number have each other's answers asked for again, and nothing worse.
const NUMBERS: usize = 1024;

pub(super) struct Stamps {
    hasher: RandomState,
    tenants: Box<[AtomicU64]>,
    keys: AtomicU64,
}

impl Default for Stamps {
    fn default() -> Self {
        let tenants = (0..NUMBERS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), tenants, keys: AtomicU64::new(0) }
    }
}

impl Stamps {
    pub(super) fn of(&self, tenant: &TenantId) -> u64 {
        self.number(tenant).load(Ordering::Acquire)
    }

    pub(super) fn of_keys(&self) -> u64 {
        self.keys.load(Ordering::Acquire)
    }

    pub(super) fn apply(&self, change: &Change) {
        let grow = |number: &AtomicU64| {
            number.fetch_add(1, Ordering::AcqRel);
        };
        match change {
            Change::Thing(tenant) => grow(self.number(tenant)),
            // What a key may depends on its tenant's record.
            Change::Tenant(tenant) => {
                grow(self.number(tenant));
                grow(&self.keys);
            }
            Change::Key => grow(&self.keys),
            Change::Everything => {
                self.tenants.iter().for_each(grow);
                grow(&self.keys);
            }
        }
    }

    fn number(&self, tenant: &TenantId) -> &AtomicU64 {
        let hash = self.hasher.hash_one(tenant);
        &self.tenants[usize::try_from(hash % NUMBERS as u64).unwrap_or_default()]
    }
}
