//! How an action is submitted, where that differs from the domain's rules.

use std::time::{Duration, SystemTime};

use crate::Error;

/// When an action becomes visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// After this time.
    After(Duration),
    /// At this moment by Redis' clock; one in the past is now.
    At(SystemTime),
}

/// How an action that failed is tried again. What is none follows the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Attempts until it is given up.
    pub max_attempts: Option<u32>,
    /// Upper end of the first delay.
    pub base: Option<Duration>,
    /// Longest delay.
    pub cap: Option<Duration>,
}

/// How an action is submitted. The default follows the configuration in everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// When it becomes visible.
    pub when: When,
    /// Actions of the tenant and domain with the same key are one action for this long.
    pub idempotency: Option<(String, Duration)>,
    /// How it is tried again.
    pub retry: Retry,
    /// How long it may wait for its first claim.
    pub time_to_live: Option<Duration>,
    /// How long it may run from its first claim, all attempts together.
    pub budget: Option<Duration>,
    /// Whether actions of the queue that say so run one at a time, in the order of their submission.
    pub ordered: bool,
}

/// Longest time for which an action may be put off.
const LONGEST_DELAY: Duration = Duration::from_hours(366 * 24);
/// Longest time for which an idempotency key is remembered.
const LONGEST_KEY_TTL: Duration = Duration::from_hours(7 * 24);
/// Longest budget, time to live, delay between attempts.
const LONGEST_TIME: Duration = Duration::from_hours(366 * 24);
/// Most characters of an idempotency key.
const LONGEST_KEY: usize = 200;

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let When::After(delay) = self.when {
            within("delay", delay, Duration::ZERO, LONGEST_DELAY)?;
        }
        if let When::At(moment) = self.when {
            let ahead = moment.duration_since(SystemTime::now()).unwrap_or_default();
            within("at", ahead, Duration::ZERO, LONGEST_DELAY)?;
        }
        if let Some((key, ttl)) = &self.idempotency {
            if !(1..=LONGEST_KEY).contains(&key.len()) || !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                let rule = format!("`idempotency_key` is 1 to {LONGEST_KEY} printable ASCII characters");
                return Err(Error::Field { field: "idempotency_key", rule });
            }
            within("idempotency_ttl", *ttl, Duration::from_secs(1), LONGEST_KEY_TTL)?;
        }
        if self.retry.max_attempts.is_some_and(|attempts| !(1..=100).contains(&attempts)) {
            return Err(Error::Field { field: "retry.max_attempts", rule: "`max_attempts` is 1 to 100".to_owned() });
        }
        let ms = Duration::from_millis(1);
        let times = [
            ("retry.base", self.retry.base),
            ("retry.cap", self.retry.cap),
            ("time_to_live", self.time_to_live),
            ("budget", self.budget),
        ];
        times
            .into_iter()
            .filter_map(|(field, time)| Some((field, time?)))
            .try_for_each(|(field, time)| within(field, time, ms, LONGEST_TIME))
    }
}

fn within(field: &'static str, time: Duration, least: Duration, most: Duration) -> Result<(), Error> {
    if (least..=most).contains(&time) {
        return Ok(());
    }
    let rule = format!("`{field}` is {} s to {} s", least.as_secs_f64(), most.as_secs());
    Err(Error::Field { field, rule })
}
