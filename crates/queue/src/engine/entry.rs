//! What is put into a queue.

use std::fmt;
use std::time::Duration;

use action::Tier;

use super::number;
use crate::{Error, keys};

/// One of the five ways through a domain: the tiers, and callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Actions of a tier.
    Tier(Tier),
    /// Final outcomes.
    Callbacks,
}

impl Lane {
    /// Returns the word that is the last part of a queue's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tier(tier) => tier.as_str(),
            Self::Callbacks => "callbacks",
        }
    }

    fn read(text: &str) -> Option<Self> {
        if text == "callbacks" { Some(Self::Callbacks) } else { text.parse().ok().map(Self::Tier) }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An action as the engine sees it: where it goes, what its limits are, and bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Id of the action.
    pub id: String,
    /// Tenant for whom the work is done.
    pub tenant: String,
    /// The tenant's tier.
    pub tier: Tier,
    /// Middle part of the queue's name: a context id, or the tenant in the callbacks lane.
    pub middle: String,
    /// Lane that it goes through.
    pub lane: Lane,
    /// How long it may wait for its first claim; for ever when there is none.
    pub patience: Option<Duration>,
    /// How long it may take from now on; its budget counts from the first claim when there is none.
    pub within: Option<Duration>,
    /// Execution budget from the first claim; none when there is no limit.
    pub budget: Option<Duration>,
    /// Attempts until it is given up.
    pub max_attempts: u32,
    /// Crashes until it is given up.
    pub max_crashes: u32,
    /// What the record of the task needs, when this is a root action.
    pub root: Option<Root>,
    /// Whether somebody wants the outcome.
    pub outcome: bool,
    /// How long a repetition is recognised after the end; none while it lives.
    pub dedup: Option<Duration>,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// What the record of a task holds beside what its root action's header says.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// Type of the action.
    pub kind: String,
    /// Session; empty when there is none.
    pub session: String,
}

impl Entry {
    /// Checks that its ids may stand in keys.
    pub(crate) fn check(&self) -> Result<(), Error> {
        keys::check_id("action_id", &self.id)?;
        keys::check_id("tenant_id", &self.tenant)?;
        keys::check_id("context_id", &self.middle)
    }

    /// Returns how many bytes it sends, roughly.
    pub(crate) fn size(&self) -> usize {
        300 + self.payload.len()
    }

    /// Writes the 7 values that `submit.lua` reads.
    pub(super) fn write(&self, arguments: &mut Vec<Vec<u8>>) {
        let flags = format!("{}{}", if self.root.is_some() { "r" } else { "" }, if self.outcome { "o" } else { "" });
        let budget = self.budget.map_or(0, |budget| budget.as_millis());
        let mut rest = format!(
            "{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{budget}\x1f{flags}\x1e",
            self.tier, self.tenant, self.middle, self.lane, self.max_attempts, self.max_crashes,
        )
        .into_bytes();
        rest.extend_from_slice(&self.payload);
        let wait = |time: Option<Duration>| number(time.map_or(0, |time| time.as_millis().max(1)));
        let root = self.root.clone().unwrap_or_default();
        arguments.extend([
            self.id.clone().into_bytes(),
            rest,
            wait(self.patience),
            wait(self.within),
            wait(self.dedup),
        ]);
        arguments.extend([root.kind.into_bytes(), root.session.into_bytes()]);
    }
}

/// What stands before the payload of a stored action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// When it was submitted, in microseconds.
    pub enqueued: u64,
    /// The tenant's tier.
    pub tier: Tier,
    /// Tenant for whom the work is done.
    pub tenant: String,
    /// Middle part of the queue's name.
    pub middle: String,
    /// Lane that it goes through.
    pub lane: Lane,
    /// Attempts until it is given up.
    pub max_attempts: u32,
}

impl Header {
    /// Splits a body into header and payload; none when it is not one of ours.
    pub fn split(body: &[u8]) -> Option<(Self, &[u8])> {
        let end = body.iter().position(|&byte| byte == 0x1e)?;
        let text = std::str::from_utf8(&body[..end]).ok()?;
        let fields: Vec<&str> = text.split('\x1f').collect();
        let [enqueued, _wait, _deadline, tier, tenant, middle, lane, attempts, _crashes, _budget, _flags] = fields[..]
        else {
            return None;
        };
        let header = Self {
            enqueued: enqueued.parse().ok()?,
            tier: tier.parse().ok()?,
            tenant: tenant.to_owned(),
            middle: middle.to_owned(),
            lane: Lane::read(lane)?,
            max_attempts: attempts.parse().ok()?,
        };
        Some((header, &body[end + 1..]))
    }
}
