//! How fast a domain works, for telling people how long it will take.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use action::{Domain, Tier};

use crate::engine::Ticked;

/// What the ticks of this process have seen.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    seen: Mutex<HashMap<Domain, Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    last: Ticked,
    /// Claims a second while work was waiting, as a running mean.
    rate: Option<f64>,
}

impl Rates {
    pub(crate) fn observe(&self, domain: Domain, ticked: Ticked) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = seen.get(&domain).and_then(|before| before.next_rate(&ticked));
        seen.insert(domain, Seen { last: ticked, rate });
    }

    /// Estimates the time until the action at this place of a queue has ended; none before anything was measured.
    pub(crate) fn estimate(&self, domain: Domain, tier: Tier, position: u64) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(&domain)?;
        let own = seen.last.tiers[usize::from(tier.priority() - 1)].mean_run;
        let run = own.or_else(|| seen.last.tiers.iter().find_map(|tier| tier.mean_run))? / 1000.0;
        let before = f64::from(u32::try_from(position.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = seen.rate.map_or(before * run, |rate| before / rate);
        Duration::try_from_secs_f64(wait + run).ok()
    }
}

impl Seen {
    /// Only while work waits does the number of claims tell how fast the workers are, rather than the callers.
    fn next_rate(&self, now: &Ticked) -> Option<f64> {
        let waiting = |ticked: &Ticked| ticked.tiers.iter().any(|tier| tier.waiting > 0);
        let claimed = |ticked: &Ticked| ticked.tiers.iter().map(|tier| tier.claimed).sum::<u64>();
        let claims = claimed(now).saturating_sub(claimed(&self.last));
        let elapsed = now.now.saturating_sub(self.last.now);
        if claims == 0 || elapsed == 0 || !waiting(now) || !waiting(&self.last) {
            return self.rate;
        }
        let elapsed = Duration::from_millis(elapsed).as_secs_f64();
        let fresh = f64::from(u32::try_from(claims).unwrap_or(u32::MAX)) / elapsed;
        Some(self.rate.map_or(fresh, |rate| rate + (fresh - rate) * 0.3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TickedTier;

    fn ticked(now: u64, claimed: u64, waiting: u64, run: Option<f64>) -> Ticked {
        let mut tiers = [TickedTier::default(); 4];
        tiers[0] = TickedTier { claimed, waiting, mean_run: run, oldest: 0 };
        Ticked { now, oldest_outcome: 0, live: waiting, tiers }
    }

    #[test]
    fn nothing_is_estimated_before_anything_was_measured() {
        let rates = Rates::default();
        rates.observe(Domain::Query, ticked(1000, 0, 5, None));
        assert_eq!(rates.estimate(Domain::Query, Tier::Free, 1), None);
    }

    #[test]
    fn an_estimate_is_the_wait_at_the_measured_rate_and_the_run() {
        let rates = Rates::default();
        rates.observe(Domain::Query, ticked(1000, 0, 50, Some(500.0)));
        rates.observe(Domain::Query, ticked(6000, 50, 50, Some(500.0)));
        let estimate = rates.estimate(Domain::Query, Tier::Free, 21).expect("it was measured");
        assert_eq!(estimate, Duration::from_millis(2500));
    }
}
