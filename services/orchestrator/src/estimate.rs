//! When an answer can be expected, before there is anything to measure.

use std::time::Duration;

use action::Tier;

/// Returns the product's figure for a tier, used until the queue has seen enough work to know better.
pub(crate) const fn customary(tier: Tier) -> Duration {
    let seconds = match tier {
        Tier::Free => 30,
        Tier::Advance => 20,
        Tier::Professional => 10,
        Tier::Enterprise => 5,
    };
    Duration::from_secs(seconds)
}
