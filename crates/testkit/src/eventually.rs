//! Waiting for a condition.

use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, looking every 10 ms.
///
/// # Panics
///
/// Panics at the caller's line when it does not hold within `patience`.
#[track_caller]
pub fn eventually<F, C>(patience: Duration, condition: C) -> impl Future<Output = ()>
where
    C: Fn() -> F,
    F: Future<Output = bool>,
{
    let caller = Location::caller();
    async move {
        let end = Instant::now() + patience;
        while !condition().await {
            assert!(Instant::now() < end, "{caller}: the condition did not come to hold within {patience:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
