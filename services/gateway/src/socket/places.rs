//! Who has a place: so many sockets in all, at most half of them of one tenant, and a few more while they have not proved
//! who they are, so that strangers never take the place of a tenant.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use action::TenantId;
use fault::{Failure, reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Strangers have one place for so many of the others, and at least a few.
const PLACES_PER_STRANGER: usize = 20;
const FEWEST_STRANGERS: usize = 4;

type Held = Arc<Mutex<HashMap<TenantId, usize>>>;

/// All places of the process.
#[derive(Debug)]
pub(super) struct Places {
    seats: Arc<Semaphore>,
    most: usize,
    doorway: Arc<Semaphore>,
    strangers: usize,
    held: Held,
}

/// The place of a socket whose owner is proved; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    held: Held,
    tenant: TenantId,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All places are taken; how many there are.
    Process(usize),
    /// The tenant has as many as one may have.
    Tenant(usize),
    /// As many wait to prove who they are as may.
    Strangers(usize),
}

impl Places {
    /// Takes the greatest number of sockets whose owners are proved.
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let strangers = (most / PLACES_PER_STRANGER).max(FEWEST_STRANGERS).min(most);
        Self {
            seats: Arc::new(Semaphore::new(most)),
            most,
            doorway: Arc::new(Semaphore::new(strangers)),
            strangers,
            held: Held::default(),
        }
    }

    /// Returns how many sockets there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Returns how many sockets there are whose owners are proved.
    pub(super) fn taken(&self) -> usize {
        self.most - self.seats.available_permits()
    }

    /// Takes a place of a tenant.
    pub(super) fn seat(&self, tenant: &TenantId) -> Result<Seat, Full> {
        let share = self.most.div_ceil(2);
        let permit = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| Full::Process(self.most))?;
        let mut held = lock(&self.held);
        let own = held.get(tenant).copied().unwrap_or_default();
        if own >= share {
            return Err(Full::Tenant(share));
        }
        held.insert(tenant.clone(), own + 1);
        drop(held);
        Ok(Seat { _permit: permit, held: Arc::clone(&self.held), tenant: tenant.clone() })
    }

    /// Takes a place of somebody who has not proved who they are.
    pub(super) fn stand(&self) -> Result<OwnedSemaphorePermit, Full> {
        Arc::clone(&self.doorway).try_acquire_owned().map_err(|_| Full::Strangers(self.strangers))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = lock(&self.held).entry(self.tenant.clone()) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        let (most, text) = match full {
            Full::Process(most) => (most, format!("this process holds its {most} sockets already")),
            Full::Tenant(most) => (most, format!("this tenant has its {most} sockets of this process already")),
            Full::Strangers(most) => {
                let text = format!("{most} sockets without a credential are open already; send it with the upgrade");
                (most, text)
            }
        };
        Self::new(&reason::OVERLOADED, text).retry_after(Duration::from_secs(5)).with("limit", most.to_string())
    }
}

/// The map is whole at every moment, also when somebody panicked beside it.
fn lock(held: &Held) -> MutexGuard<'_, HashMap<TenantId, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
