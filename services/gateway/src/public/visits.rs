//! How often one address may ask for public addresses: each that is not known is looked up in a database.
//!
//! Two bounds hold. What one address asks of one process, whatever it asks for, is looked at first and costs nothing. Then the
//! visits of an address to the tenant that it names are counted over all processes.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fault::{Failure, reason};
use moka::sync::Cache;
use quota::{Quota, Window};
use service_kit::{Bucket, NotAdmitted};
use tokio::time::Instant;

use super::place::Place;
use super::resolver::unknown;

/// Visits to one process at once, and a second in the long run.
const BURST: u32 = 60;
const PER_SECOND: u32 = 20;
/// Most visitors that are remembered, and for how long: longer than it takes to have everything left again.
const VISITORS: u64 = 50_000;
const REMEMBERED: Duration = Duration::from_secs(30);

/// Counts the visits of addresses. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Visits {
    here: Here,
    quota: Quota,
    per_minute: u32,
}

impl Visits {
    /// Takes who counts, and how often an address may visit a tenant in a minute.
    pub(crate) fn new(quota: Quota, per_minute: u32) -> Self {
        Self { here: Here::default(), quota, per_minute }
    }

    /// Takes one visit of an address, before anything is looked up for it, and returns what it has left. Fails with
    /// `RATE_LIMIT_EXCEEDED` when that is nothing, and with `CONTEXT_NOT_RESOLVED` where no tenant can have such a name.
    pub(super) async fn take(&self, address: Option<IpAddr>, place: &Place) -> Result<Vec<Window>, NotAdmitted> {
        let address = address.ok_or_else(Failure::internal)?;
        if !self.here.take(address) {
            return Err(too_many());
        }
        let tenant = place.named().ok_or_else(unknown)?;
        Ok(self.quota.visit(&tenant, address, self.per_minute).await?)
    }
}

/// Says that an address asks this process too often, whatever it asks for.
fn too_many() -> NotAdmitted {
    let (limit, second) = (u64::from(PER_SECOND), Duration::from_secs(1));
    let window = Window { name: "visits", limit, remaining: 0, reset: second, length: second };
    let text = format!("one address may ask for public agents {limit} times a second; come back a little later");
    let failure = Failure::new(&reason::RATE_LIMIT_EXCEEDED, text).retry_after(second);
    let failure = failure.with("window", window.name).with("limit", limit.to_string()).with("remaining", "0");
    NotAdmitted { failure, windows: vec![window] }
}

/// Visits to this process.
#[derive(Clone)]
struct Here(Cache<IpAddr, Arc<Mutex<Bucket>>>);

impl Default for Here {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(VISITORS).time_to_idle(REMEMBERED).build())
    }
}

impl Here {
    fn take(&self, address: IpAddr) -> bool {
        let (address, now) = (quota::network(address), Instant::now());
        let bucket = self.0.get_with(address, || Arc::new(Mutex::new(Bucket::new(BURST, PER_SECOND, now))));
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").field("visitors", &self.0.entry_count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, Here};

    #[test]
    fn an_address_that_asks_one_process_too_often_is_held_back_and_its_neighbour_is_not() {
        let here = Here::default();
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let taken = (0..BURST * 2).filter(|_| here.take(one)).count();
        assert!((BURST as usize..BURST as usize * 2).contains(&taken), "{taken}");
        assert!(here.take(other));
    }
}
