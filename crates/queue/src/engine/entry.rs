//! What is put into a queue.

use std::fmt;
use std::time::Duration;

use action::Tier;

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

    /// Returns its place in `LANES` of `lua/entry.lua`.
    pub(super) fn place(self) -> u8 {
        match self {
            Self::Callbacks => 1,
            Self::Tier(tier) => 1 + tier.priority(),
        }
    }

    fn at(place: u8) -> Option<Self> {
        match place {
            1 => Some(Self::Callbacks),
            place => Tier::ALL.get(usize::from(place.checked_sub(2)?)).copied().map(Self::Tier),
        }
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
    /// How long it stays invisible.
    pub delay: Option<Duration>,
    /// Key by which a repetition under another id is recognised, and for how long.
    pub key: Option<(String, Duration)>,
    /// Whether the actions of its queue run one at a time.
    pub ordered: bool,
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
    /// Person for whom it is; empty when unknown.
    pub user: String,
    /// Agent that is entered first; empty when there is none.
    pub agent: String,
}

impl Root {
    fn written(&self) -> Vec<u8> {
        let Self { kind, session, user, agent } = self;
        format!("{kind}\x1f{session}\x1f{user}\x1f{agent}").into_bytes()
    }
}

/// What stands behind the first bytes of every body.
const MAGIC: u8 = b'N';
/// Bytes of the moment at which it became visible, which stands first.
const DATED: usize = 7;
/// Bytes of a header without tenant and middle.
const FIXED: usize = 30;
/// Longest time that five bytes of milliseconds hold.
const LONGEST: u128 = (1 << 40) - 1;

const ROOT: u8 = 1;
const OUTCOME: u8 = 2;
const ORDERED: u8 = 4;
/// Seldom given values follow in the submission; means nothing later.
const SELDOM: u8 = 8;

impl Entry {
    /// Checks that its ids may stand in keys.
    pub(crate) fn check(&self) -> Result<(), Error> {
        keys::check_id("action_id", &self.id)?;
        keys::check_id("tenant_id", &self.tenant)?;
        keys::check_id("context_id", &self.middle)
    }

    /// Returns how many bytes it sends, roughly.
    pub(crate) fn size(&self) -> usize {
        100 + self.payload.len()
    }

    /// Writes the values that `submit.lua` reads.
    pub(super) fn write(&self, arguments: &mut Vec<Vec<u8>>) {
        let seldom = self.seldom();
        arguments.extend([self.id.clone().into_bytes(), self.body(seldom.is_some())]);
        arguments.extend(self.root.as_ref().map(Root::written));
        arguments.extend(seldom);
    }

    /// Header and payload without the moment at which it becomes visible, which the script puts before them.
    fn body(&self, seldom: bool) -> Vec<u8> {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.root.is_some(), ROOT)
            | flag(self.outcome, OUTCOME)
            | flag(self.ordered, ORDERED)
            | flag(seldom, SELDOM);
        let small = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let mut body = Vec::with_capacity(FIXED + self.tenant.len() + self.middle.len() + self.payload.len());
        body.extend([MAGIC, self.lane.place(), Lane::Tier(self.tier).place(), flags]);
        body.extend([small(self.max_attempts), small(self.max_crashes)]);
        for time in [self.patience, self.within, self.budget] {
            body.extend_from_slice(&five_bytes(time));
        }
        // Ids have at most 128 bytes, see `check`.
        body.extend([self.tenant.len(), self.middle.len()].map(|length| u8::try_from(length).unwrap_or(u8::MAX)));
        body.extend_from_slice(self.tenant.as_bytes());
        body.extend_from_slice(self.middle.as_bytes());
        body.extend_from_slice(&self.payload);
        body
    }

    fn seldom(&self) -> Option<Vec<u8>> {
        if self.delay.is_none() && self.dedup.is_none() && self.key.is_none() {
            return None;
        }
        let ms = |time: Option<Duration>| time.map_or(0, |time| time.as_millis().max(1));
        let (key, key_ttl) = self.key.as_ref().map_or(("", None), |(key, ttl)| (key.as_str(), Some(*ttl)));
        Some(format!("{}\x1f{}\x1f{}\x1f{key}", ms(self.delay), ms(self.dedup), ms(key_ttl)).into_bytes())
    }
}

/// Milliseconds in five bytes, 0 when there is no limit. A limit of no time at all is one millisecond.
fn five_bytes(time: Option<Duration>) -> [u8; 5] {
    let ms = time.map_or(0, |time| time.as_millis().clamp(1, LONGEST));
    let bytes = u64::try_from(ms).unwrap_or_default().to_be_bytes();
    [bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// What stands before the payload of a stored action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// When it became visible, in microseconds.
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
    /// Whether a task has a record of it.
    pub root: bool,
}

impl Header {
    /// Splits a body into header and payload; none when it is not one of ours.
    pub fn split(body: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, rest) = body.split_first_chunk::<FIXED>()?;
        let [.., magic, lane, tier, flags, attempts, _crashes] = *fixed.first_chunk::<{ DATED + 6 }>()?;
        let Some(Lane::Tier(tier)) = Lane::at(tier) else { return None };
        if magic != MAGIC {
            return None;
        }
        let (tenant, rest) = rest.split_at_checked(fixed[FIXED - 2].into())?;
        let (middle, payload) = rest.split_at_checked(fixed[FIXED - 1].into())?;
        let header = Self {
            enqueued: big_endian(&fixed[..DATED]),
            tier,
            tenant: std::str::from_utf8(tenant).ok()?.to_owned(),
            middle: std::str::from_utf8(middle).ok()?.to_owned(),
            lane: Lane::at(lane)?,
            max_attempts: attempts.into(),
            root: flags & ROOT != 0,
        };
        Some((header, payload))
    }
}

/// Returns when the work on an action must have ended that is claimed for the first time now, in milliseconds; 0 when it need
/// not. `claim.lua` decides the same.
pub(super) fn deadline(body: &[u8], now: u64) -> Option<u64> {
    let fixed = body.first_chunk::<FIXED>()?;
    let (visible, within, budget) =
        (big_endian(&fixed[..DATED]) / 1000, big_endian(&fixed[18..23]), big_endian(&fixed[23..28]));
    Some(match (within, budget) {
        (0, 0) => 0,
        (0, budget) => now + budget,
        (within, _) => visible + within,
    })
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
