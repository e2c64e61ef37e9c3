//! What can be chosen about the engine.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use action::{Domain, Tier};

/// When a submit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When Redis has it in memory; a crash of Redis loses what its append-only file did not hold yet (about 2 s).
    #[default]
    Fast,
    /// When a replica has it too; the loss of one machine loses nothing.
    Replicated,
    /// When it is on the disk of Redis; a crash loses nothing.
    Fsync,
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fast" => Ok(Self::Fast),
            "replicated" => Ok(Self::Replicated),
            "fsync" => Ok(Self::Fsync),
            _ => Err("is none of fast, replicated, fsync".to_owned()),
        }
    }
}

/// How the slots of busy workers are shared between tiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// By weight: a tier that is behind its share goes first.
    #[default]
    Weighted,
    /// The highest tier that has work, but for a reserve that is shared by weight.
    Strict,
}

impl Sharing {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::Strict => "strict",
        }
    }
}

impl FromStr for Sharing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "weighted" => Ok(Self::Weighted),
            "strict" => Ok(Self::Strict),
            _ => Err("is neither weighted nor strict".to_owned()),
        }
    }
}

/// Limits and shares of a domain, as long as operators set no others at run time ([`crate::Queue::set_limits`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How slots are shared between tiers.
    pub sharing: Sharing,
    /// Shares of the tiers when all of them have work, enterprise first; each at least 1.
    pub weights: [u32; 4],
    /// With strict sharing, part of the slots in percent that is shared by weight.
    pub reserve: u32,
    /// Most actions of a tenant that are taken in one go before the next tenant's turn.
    pub quantum: u32,
    /// Most actions of a tenant that run at once; 0 = no limit.
    pub tenant_in_flight: u64,
    /// Most waiting actions of a queue; 0 = no limit.
    pub queue_depth: u64,
    /// Most waiting actions of a tenant; 0 = no limit.
    pub tenant_depth: u64,
    /// Most waiting actions of a tier in a partition; 0 = no limit.
    pub tier_depth: u64,
    /// Age of a tier's work from which its weight grows, up to four times, enterprise first; zero = never.
    pub ageing: [Duration; 4],
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sharing: Sharing::Weighted,
            weights: [8, 4, 2, 1],
            reserve: 5,
            quantum: 4,
            tenant_in_flight: 0,
            queue_depth: 100_000,
            tenant_depth: 100_000,
            tier_depth: 1_000_000,
            ageing: [Duration::ZERO; 4],
        }
    }
}

/// Settings of the engine; the defaults are the product's.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a submit counts as done, in the domains that are not named in `durability_of`.
    pub durability: Durability,
    /// When a submit counts as done, by domain.
    pub durability_of: HashMap<Domain, Durability>,
    /// How long a lease lasts unless it is extended; work of a dead process is found after this time.
    pub lease: Duration,
    /// How often all leases of the process are extended; running work learns of its cancellation this often.
    pub heartbeat: Duration,
    /// Limits and shares.
    pub limits: Limits,
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
    /// How long dead letters are kept.
    pub dead_letter_ttl: Duration,
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
            durability_of: HashMap::new(),
            lease: seconds(10),
            heartbeat: seconds(1),
            limits: Limits::default(),
            max_attempts: 5,
            max_crashes: 3,
            budgets: [seconds(300), seconds(120), seconds(60), seconds(30)],
            patience: 10,
            callback_timeout: seconds(60),
            result_ttl: seconds(24 * 3600),
            retry_base: seconds(1),
            retry_cap: seconds(300),
            dead_letters: 10_000,
            dead_letter_ttl: seconds(30 * 24 * 3600),
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

    /// Returns when a submit to a domain counts as done.
    pub fn durability(&self, domain: Domain) -> Durability {
        self.durability_of.get(&domain).copied().unwrap_or(self.durability)
    }
}
