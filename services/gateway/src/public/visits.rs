//! How often one address may ask for public addresses: each that is not known is looked up in a database.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use service_kit::Bucket;
use tokio::time::Instant;

/// Visits at once, and a second in the long run.
const BURST: u32 = 60;
const PER_SECOND: u32 = 20;
/// Most visitors that are remembered, and for how long: longer than it takes to have everything left again.
const VISITORS: u64 = 50_000;
const REMEMBERED: Duration = Duration::from_secs(30);

/// Counts the visits of addresses in this process.
#[derive(Clone)]
pub(crate) struct Visits(Cache<IpAddr, Arc<Mutex<Bucket>>>);

impl Default for Visits {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(VISITORS).time_to_idle(REMEMBERED).build())
    }
}

impl Visits {
    /// Takes one visit of an address, if it has one left.
    pub(super) fn take(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let bucket = self.0.get_with(address, || Arc::new(Mutex::new(Bucket::new(BURST, PER_SECOND, now))));
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

impl std::fmt::Debug for Visits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visits").field("visitors", &self.0.entry_count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, Visits};

    #[test]
    fn an_address_that_asks_too_often_is_held_back_and_its_neighbour_is_not() {
        let visits = Visits::default();
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let taken = (0..BURST * 2).filter(|_| visits.take(one)).count();
        assert!((BURST as usize..BURST as usize * 2).contains(&taken), "{taken}");
        assert!(visits.take(other));
    }
}
