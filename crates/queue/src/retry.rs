//! When to try again.

use std::time::Duration;

use rand::Rng as _;

/// Returns a random delay up to `base` doubled with every attempt before, at most `cap` (full jitter).
pub(crate) fn full_jitter(base: Duration, cap: Duration, attempt: u32) -> Duration {
    let most = base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(31))).min(cap);
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(rand::rng().random_range(0..=most))
}

/// Waits between tries to reach Redis: from 50 ms to 1 s, jittered so that processes do not come back as one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    fn next(&mut self) -> Duration {
        let most = 50_u64.saturating_mul(1 << self.tries.min(5)).min(1000);
        self.tries += 1;
        Duration::from_millis(rand::rng().random_range(most / 2..=most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_between_attempts_grow_to_the_cap_and_not_beyond() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_mins(5));
        for attempt in 1..40 {
            let most = Duration::from_secs(1 << (attempt - 1).min(20)).min(cap);
            for _ in 0..50 {
                assert!(full_jitter(base, cap, attempt) <= most);
            }
        }
    }

    #[test]
    fn tries_to_reach_redis_are_50_ms_to_1_s_apart() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= Duration::from_millis(50));
        let last = (0..20).map(|_| backoff.next()).last().expect("twenty of them");
        assert!(last >= Duration::from_millis(500) && last <= Duration::from_secs(1));
    }
}
