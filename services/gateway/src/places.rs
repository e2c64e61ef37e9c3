//! Who has a place: so many sockets, or streams, in all, at most half of them of one tenant, and a few more while they have not proved
//! who they are, so that strangers never take the place of a tenant; at most half of those from one address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use action::TenantId;
use fault::{Failure, reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::{Share, Shares};

/// Strangers of one address have one place for so many of the others, and at least a few; those of all addresses have twice as many.
const PLACES_PER_STRANGER: usize = 20;
const FEWEST_STRANGERS: usize = 4;

/// All places of the process.
#[derive(Debug)]
pub(crate) struct Places {
    seats: Arc<Semaphore>,
    most: usize,
    doorway: Arc<Semaphore>,
    strangers: usize,
    of_one_address: usize,
    held: Shares<TenantId>,
    standing: Shares<IpAddr>,
}

/// The place of something whose owner is proved; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
    _share: Share<TenantId>,
}

/// The place of a socket whose owner has proved nothing; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Doorway {
    _permit: OwnedSemaphorePermit,
    _share: Share<IpAddr>,
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
    /// As many of one address do.
    Address(usize),
}

impl Places {
    /// Takes the greatest number of sockets whose owners are proved.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let of_one_address = (most / PLACES_PER_STRANGER).max(FEWEST_STRANGERS).min(most);
        let strangers = 2 * of_one_address;
        Self {
            seats: Arc::new(Semaphore::new(most)),
            most,
            doorway: Arc::new(Semaphore::new(strangers)),
            strangers,
            of_one_address,
            held: Shares::default(),
            standing: Shares::default(),
        }
    }

    /// Returns how many sockets there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Returns how many sockets there are whose owners are proved.
    pub(crate) fn taken(&self) -> usize {
        self.most - self.seats.available_permits()
    }

    /// Takes a place of a tenant.
    pub(crate) fn seat(&self, tenant: &TenantId) -> Result<Seat, Full> {
        let share = self.most.div_ceil(2);
        let permit = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| Full::Process(self.most))?;
        let taken = self.held.take(tenant.clone(), share).ok_or(Full::Tenant(share))?;
        Ok(Seat { _permit: permit, _share: taken })
    }

    /// Takes a place of somebody who has not proved who they are.
    pub(crate) fn stand(&self, from: IpAddr) -> Result<Doorway, Full> {
        let share = self.of_one_address;
        let permit = Arc::clone(&self.doorway).try_acquire_owned().map_err(|_| Full::Strangers(self.strangers))?;
        let taken = self.standing.take(quota::network(from), share).ok_or(Full::Address(share))?;
        Ok(Doorway { _permit: permit, _share: taken })
    }
}

impl Full {
    /// Returns the refusal, of what there are places for.
    pub(crate) fn of(self, what: &str) -> Failure {
        let (most, text) = match self {
            Self::Process(most) => (most, format!("this process holds its {most} {what} already")),
            Self::Tenant(most) => (most, format!("this tenant has its {most} {what} of this process already")),
            Self::Strangers(most) => {
                (most, format!("{most} {what} without a credential are open already; send it with the upgrade"))
            }
            Self::Address(most) => (
                most,
                format!(
                    "{most} {what} of this address without a credential are open already; send it with the upgrade"
                ),
            ),
        };
        Failure::new(&reason::OVERLOADED, text).retry_after(Duration::from_secs(5)).with("limit", most.to_string())
    }
}
