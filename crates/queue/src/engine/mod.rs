//! The scripts as functions: what the rest of the crate, its tests and the benchmark call.
//!
//! Every function takes `now` in milliseconds, by which the script judges leases, delays and ages; 0 means Redis' own clock.
//! Only tests pass anything else.

mod entry;
mod reply;
mod script;
mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Redis, Script};
use redis::Value;

pub use entry::{Entry, Header, Lane, Root};
use reply::Reply;
pub(crate) use script::EXTEND;
pub use settle::{End, Settle, Settled};

use crate::{Config, Error, keys};

/// One partition of a domain's queues.
#[derive(Clone, Debug)]
pub struct Engine {
    redis: Redis,
    tag: String,
    config: Arc<Config>,
}

/// What submitting an entry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// False when the entry was known already.
    pub new: bool,
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
    /// Actions claimed so far.
    pub claimed: u64,
    /// Waiting actions and mean run in milliseconds, enterprise first.
    pub tiers: [(u64, Option<f64>); 4],
}

impl Engine {
    /// Opens a partition by its domain and number.
    pub fn new(redis: Redis, domain: action::Domain, partition: u32, config: Arc<Config>) -> Self {
        Self { redis, tag: keys::tag(domain, partition), config }
    }

    /// Returns the tag with which all keys of the partition begin.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Puts entries into their queues, all in one step.
    pub async fn submit(&self, now: u64, entries: &[Entry]) -> Result<Vec<Placed>, Error> {
        let mut arguments = vec![number(now), self.kept()];
        for entry in entries {
            entry.write(&mut arguments);
        }
        let mut reply = self.run(&script::SUBMIT, &arguments).await?;
        let at = reply.number()?;
        let mut placed = Vec::with_capacity(entries.len());
        while let Some(mut item) = reply.array()? {
            placed.push(Placed { new: item.number()? == 1, position: item.number()?, at });
        }
        Ok(placed)
    }

    /// Leases up to `most` actions.
    pub async fn claim(&self, now: u64, most: usize) -> Result<Claimed, Error> {
        let mut arguments = vec![number(now), number(most), millis(self.config.lease), self.kept(), self.keep()];
        arguments.push(self.crash_delay());
        arguments.extend(self.config.weights.map(|weight| number(weight.max(1))));
        let mut reply = self.run(&script::CLAIM, &arguments).await?;
        let (now, next) = (reply.number()?, reply.number()?);
        let mut leased = Vec::with_capacity(reply.len());
        while let Some(mut item) = reply.array()? {
            leased.push(Leased {
                id: item.text()?,
                token: item.number()?,
                attempt: u32::try_from(item.number()?).unwrap_or(u32::MAX),
                deadline: item.number()?,
                first_claim: item.number()?,
                events: item.bytes()?,
                body: item.bytes()?,
            });
        }
        Ok(Claimed { now, next, leased })
    }

    /// Settles deliveries, all in one step.
    pub async fn settle(&self, now: u64, items: &[Settle]) -> Result<Vec<Settled>, Error> {
        let mut arguments = vec![number(now), self.kept(), self.keep()];
        for item in items {
            item.write(&mut arguments);
        }
        let mut reply = self.run(&script::SETTLE, &arguments).await?;
        let mut settled = Vec::with_capacity(items.len());
        while reply.len() > 0 {
            settled.push(match reply.text()?.as_str() {
                "ok" => Settled::Ok,
                "stale" => Settled::Stale,
                _ => Settled::Gone,
            });
        }
        Ok(settled)
    }

    /// Extends leases, given as id and token.
    pub async fn extend(&self, now: u64, leases: &[(String, u64)]) -> Result<Vec<Extended>, Error> {
        let script = Script::new("extend", EXTEND);
        let mut arguments = vec![number(now), millis(self.config.lease)];
        for (id, token) in leases {
            arguments.extend([id.clone().into_bytes(), number(token)]);
        }
        let mut reply = self.run(&script, &arguments).await?;
        let mut extended = Vec::with_capacity(leases.len());
        while reply.len() > 0 {
            extended.push(Extended::read(&reply.text()?));
        }
        Ok(extended)
    }

    /// Cancels the task of a tenant, or an action without a record when no tenant is given.
    pub async fn cancel(&self, now: u64, id: &str, tenant: Option<&str>, reason: &str) -> Result<Cancelled, Error> {
        let tenant = tenant.unwrap_or_default();
        let arguments = [number(now), self.kept(), self.keep(), id.into(), tenant.into(), reason.into()];
        Ok(match self.answer::<String>(&script::CANCEL, &arguments).await?.as_str() {
            "finished" => Cancelled::Finished,
            "cancelled" => Cancelled::Done,
            "flagged" => Cancelled::Flagged,
            _ => Cancelled::Unknown,
        })
    }

    /// Takes outcomes that are at least this old out of the outbox, to hand them over; they stay until `relayed`.
    pub async fn sweep(&self, now: u64, age: Duration, most: usize) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut reply = self.run(&script::SWEEP, &[number(now), millis(age), number(most)]).await?;
        let mut found = Vec::with_capacity(reply.len() / 2);
        while reply.len() > 0 {
            found.push((reply.text()?, reply.bytes()?));
        }
        Ok(found)
    }

    /// Lets time act: delayed actions become visible, lost leases come back, what waited too long ends.
    pub async fn tick(&self, now: u64) -> Result<Ticked, Error> {
        let arguments = [number(now), self.kept(), self.keep(), self.crash_delay(), number(1000)];
        let mut reply = self.run(&script::TICK, &arguments).await?;
        let (now, oldest_outcome, claimed) = (reply.number()?, reply.number()?, reply.number()?);
        let mut tiers = [(0, None); 4];
        for tier in &mut tiers {
            *tier = (reply.number()?, reply.text()?.parse().ok());
        }
        Ok(Ticked { now, oldest_outcome, claimed, tiers })
    }

    /// Adds to the timeline of a task, and sets its stage; false when the tenant has no such task or the lease is lost.
    pub async fn note(&self, now: u64, note: &Note<'_>) -> Result<bool, Error> {
        let token = note.token.map(|token| token.to_string()).unwrap_or_default();
        let arguments = [
            number(now),
            note.task.into(),
            note.tenant.into(),
            note.event.into(),
            note.domain.into(),
            number(note.attempt),
            note.stage.into(),
            token.into_bytes(),
        ];
        Ok(self.answer::<u64>(&script::NOTE, &arguments).await? == 1)
    }

    /// Finds what contradicts the invariants. It reads every key, so it is for tests and tools.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        self.answer(&script::CHECK, &[]).await
    }

    async fn run(&self, script: &Script, arguments: &[Vec<u8>]) -> Result<Reply, Error> {
        Reply::new(self.answer::<Value>(script, arguments).await?)
    }

    async fn answer<T: redis::FromRedisValue>(&self, script: &Script, arguments: &[Vec<u8>]) -> Result<T, Error> {
        let began = Instant::now();
        let answer = self.redis.run(script, &[&self.tag], arguments).await;
        telemetry::metric::queue::script(script.name(), began.elapsed());
        Ok(answer?)
    }

    fn kept(&self) -> Vec<u8> {
        millis(self.config.result_ttl)
    }

    fn keep(&self) -> Vec<u8> {
        number(self.config.dead_letters)
    }

    fn crash_delay(&self) -> Vec<u8> {
        millis(self.config.retry_base)
    }
}

/// One step of a task's timeline.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// The task.
    pub task: &'a str,
    /// Its tenant.
    pub tenant: &'a str,
    /// What happened.
    pub event: &'a str,
    /// Where; may be empty.
    pub domain: &'a str,
    /// Attempt of the root action.
    pub attempt: u32,
    /// New stage; empty when it does not change.
    pub stage: &'a str,
    /// Lease that must be held.
    pub token: Option<u64>,
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

fn number<T: ToString + Copy>(value: T) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn millis(duration: Duration) -> Vec<u8> {
    number(duration.as_millis())
}
