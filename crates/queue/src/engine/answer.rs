//! What the scripts answer.

use std::time::Duration;

/// What submitting an entry answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// False when the entry was known already.
    pub new: bool,
    /// Id of the entry, or of the one that was known by the same key.
    pub id: String,
    /// Place in its queue, 1 for the next one; 0 when it is not known any more.
    pub position: u64,
    /// When it became visible, by Redis' clock in microseconds.
    pub at: u64,
}

/// What claiming answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Redis' clock in milliseconds.
    pub now: u64,
    /// When something will be due by itself; 0 when nothing will.
    pub next: u64,
    /// What was leased.
    pub leased: Vec<Leased>,
}

/// One leased action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Id of the action.
    pub id: String,
    /// Fencing token of this delivery.
    pub token: u64,
    /// Attempt, starting at 1.
    pub attempt: u32,
    /// When the work must have ended, in milliseconds; 0 when it need not.
    pub deadline: u64,
    /// When it was first claimed, in milliseconds.
    pub first_claim: u64,
    /// Timeline of the task so far, when it is a root action.
    pub events: Vec<u8>,
    /// Header and payload.
    pub body: Vec<u8>,
}

/// What became of a lease that was to be extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extended {
    /// It lasts longer now.
    Ok,
    /// It is not held any more.
    Lost,
    /// It lasts longer, and the work should stop.
    Cancelled(String),
}

/// What became of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// There is no such action, or not for this tenant.
    Unknown,
    /// It has ended before.
    Finished,
    /// It waited and has ended now.
    Done,
    /// It runs, and will learn of it.
    Flagged,
}

/// What a partition looks like after time has acted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticked {
    /// Redis' clock in milliseconds.
    pub now: u64,
    /// Age mark of the oldest outcome in the outbox; 0 when it is empty.
    pub oldest_outcome: u64,
    /// Actions that wait, are delayed or leased, callbacks included.
    pub live: u64,
    /// The tiers, enterprise first.
    pub tiers: [TickedTier; 4],
}

/// What one tier looks like after time has acted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TickedTier {
    /// Actions claimed so far.
    pub claimed: u64,
    /// Actions that wait.
    pub waiting: u64,
    /// Mean time from claim to completion, lately, in milliseconds.
    pub mean_run: Option<f64>,
    /// Age of the oldest waiting action that was looked at, in milliseconds.
    pub oldest: u64,
}

impl Ticked {
    /// Shows the figures as metrics.
    pub(crate) fn tell(&self, domain: action::Domain) {
        for (figures, tier) in self.tiers.iter().zip(action::Tier::ALL) {
            let oldest = Duration::from_millis(figures.oldest);
            telemetry::metric::queue::depth(domain.as_str(), tier.as_str(), figures.waiting, oldest);
        }
    }

    /// Adds up two partitions of a domain.
    #[must_use]
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.now = self.now.max(other.now);
        self.oldest_outcome = match (self.oldest_outcome, other.oldest_outcome) {
            (0, one) | (one, 0) => one,
            (one, another) => one.min(another),
        };
        self.live += other.live;
        for (tier, more) in self.tiers.iter_mut().zip(&other.tiers) {
            tier.claimed += more.claimed;
            tier.waiting += more.waiting;
            tier.oldest = tier.oldest.max(more.oldest);
            tier.mean_run = tier.mean_run.or(more.mean_run);
        }
        self
    }
}

impl Extended {
    pub(crate) fn read(text: &str) -> Self {
        match text.split_once(' ') {
            Some(("cancelled", reason)) => Self::Cancelled(reason.to_owned()),
            _ if text == "lost" => Self::Lost,
            _ => Self::Ok,
        }
    }
}
