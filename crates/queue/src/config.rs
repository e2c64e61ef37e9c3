//! What can be chosen about the engine.

use std::time::Duration;

use action::Tier;

/// When a submit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When Redis has it in memory; a crash of Redis loses what its append-only file did not hold yet (about 2 s).
    #[default]
    Fast,
}

/// Settings of the engine; the defaults are the product's.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a submit counts as done.
    pub durability: Durability,
    /// How long a lease lasts unless it is extended; work of a dead process is found after this time.
    pub lease: Duration,
    /// How often all leases of the process are extended; running work learns of its cancellation this often.
    pub heartbeat: Duration,
    /// Shares of the tiers when all of them have work, enterprise first; each at least 1.
    pub weights: [u32; 4],
    /// Attempts until a failing action is given up.
    pub max_attempts: u32,
    /// Crashes of its worker until an action is given up.
    pub max_crashes: u32,
    /// Execution budgets from the first claim, all attempts together, enterprise first.
    pub budgets: [Duration; 4],
    /// An action may wait for its first claim this many times its budget.
    pub patience: u32,
    /// How long one attempt at handling a callback may take; callbacks have no budget over all attempts.
    pub callback_timeout: Duration,
    /// How long the record of a task is kept after its end.
    pub result_ttl: Duration,
    /// First delay between attempts; it doubles with every attempt, and what is waited is random up to it.
    pub retry_base: Duration,
    /// Longest delay between attempts.
    pub retry_cap: Duration,
    /// Dead letters that are kept, by domain.
    pub dead_letters: u32,
    /// How long a submit tries on when Redis is away, before it gives up.
    pub submit_patience: Duration,
    /// How long a draining worker waits for what runs before it hands it back.
    pub grace: Duration,
    /// How often the process looks after tasks that no worker looks after.
    pub tick: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            durability: Durability::Fast,
            lease: seconds(10),
            heartbeat: seconds(1),
            weights: [8, 4, 2, 1],
            max_attempts: 5,
            max_crashes: 3,
            budgets: [seconds(300), seconds(120), seconds(60), seconds(30)],
            patience: 10,
            callback_timeout: seconds(60),
            result_ttl: seconds(24 * 3600),
            retry_base: seconds(1),
            retry_cap: seconds(300),
            dead_letters: 10_000,
            submit_patience: seconds(2),
            grace: seconds(20),
            tick: seconds(5),
        }
    }
}

impl Config {
    /// Returns the execution budget of a tier.
    pub fn budget(&self, tier: Tier) -> Duration {
        self.budgets[usize::from(tier.priority() - 1)]
    }
}
