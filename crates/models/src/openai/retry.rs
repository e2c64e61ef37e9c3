//! When a request is made again.

use std::time::{Duration, Instant};

use crate::Timeouts;

/// How often, and after which pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    max_retries: u32,
    base: Duration,
    cap: Duration,
}

impl Policy {
    pub(super) fn new(max_retries: u32, timeouts: &Timeouts) -> Self {
        Self { max_retries, base: timeouts.retry_base, cap: timeouts.retry_cap }
    }

    /// Returns the pause before the next attempt, or `None` if there is to be none.
    ///
    /// The pause is random up to `base × 2^made` ("full jitter"), so that callers that failed together do not come back
    /// together; if the provider said when to come back, it is that and up to `base` more. There is no further attempt
    /// if the provider asks for more than `cap`, or if the deadline would pass meanwhile.
    pub(super) fn pause(
        &self,
        made: u32,
        retry_after: Option<Duration>,
        left: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if made >= self.max_retries {
            return None;
        }
        let pause = match retry_after {
            Some(asked) if asked > self.cap => return None,
            Some(asked) => asked + self.base.mul_f64(random),
            None => self.base.saturating_mul(1_u32.checked_shl(made).unwrap_or(u32::MAX)).min(self.cap).mul_f64(random),
        };
        left.is_none_or(|left| pause < left).then_some(pause)
    }
}

/// Returns how much time is left until a deadline.
pub(super) fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Policy;
    use crate::Timeouts;

    #[test]
    fn pauses_grow_keep_what_the_provider_asks_and_end_with_patience() {
        let ms = Duration::from_millis;
        let timeouts = Timeouts { retry_base: ms(100), retry_cap: ms(300), ..Timeouts::default() };
        let policy = Policy::new(3, &timeouts);
        let table = [
            (0, None, None, 1.0, Some(ms(100))),
            (1, None, None, 1.0, Some(ms(200))),
            (2, None, None, 1.0, Some(ms(300))),
            (2, None, None, 0.5, Some(ms(150))),
            (0, None, None, 0.0, Some(ms(0))),
            (3, None, None, 0.0, None),
            (0, Some(ms(250)), None, 0.5, Some(ms(300))),
            (0, Some(ms(301)), None, 0.0, None),
            (0, None, Some(ms(101)), 1.0, Some(ms(100))),
            (0, None, Some(ms(100)), 1.0, None),
            (0, Some(ms(200)), Some(ms(150)), 0.0, None),
        ];
        for (made, retry_after, left, random, expected) in table {
            assert_eq!(policy.pause(made, retry_after, left, random), expected, "{made} {retry_after:?} {left:?}");
        }
    }
}
