//! The scripts as functions: what the rest of the crate, its tests and the benchmark call.
//!
//! Every function takes `now` in milliseconds, by which the script judges leases, delays and ages; 0 means Redis' own clock.
//! Only tests pass anything else.

mod answer;
mod entry;
mod reply;
mod script;
mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Blocking, Redis, Script};
use redis::Value;

pub use answer::{Cancelled, Claimed, Extended, Leased, Placed, Ticked, TickedTier};
pub use entry::{Entry, Header, Lane, Root};
use reply::Reply;
pub use settle::{End, Settle, Settled};

use crate::{Config, Error, keys};

/// One partition of a domain's queues.
#[derive(Clone, Debug)]
pub struct Engine {
    redis: Redis,
    tag: String,
    config: Arc<Config>,
}

/// What is purged: all tiers, tenants and contexts unless one is named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purge<'a> {
    /// A tier.
    pub tier: Option<action::Tier>,
    /// A tenant.
    pub tenant: &'a str,
    /// A context.
    pub middle: &'a str,
    /// Why, for records and callbacks.
    pub reason: &'a str,
}

/// A change of what rules a partition: the hash, its field, the value (empty = none any more).
pub type Change = (&'static str, String, String);

/// Most actions that one run of a purge ends.
const PURGE_RUN: u64 = 500;
/// Most violations that a check tells of.
const VIOLATIONS: u64 = 1000;

impl Engine {
    /// Opens a partition by its domain and number.
    pub fn new(redis: Redis, domain: action::Domain, partition: u32, config: Arc<Config>) -> Self {
        Self { redis, tag: keys::tag(domain, partition), config }
    }

    /// Returns the tag with which all keys of the partition begin.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Puts entries into their queues, all in one step. One that is refused does not hinder the others.
    pub async fn submit(&self, now: u64, entries: &[Entry]) -> Result<Vec<Result<Placed, Error>>, Error> {
        let reply = self.run(&script::SUBMIT, &self.submission(now, entries)).await?;
        read_placed(entries, reply)
    }

    /// Does the same on a connection of one's own.
    pub(crate) async fn submit_on(
        &self,
        connection: &mut Blocking,
        entries: &[Entry],
    ) -> Result<Vec<Result<Placed, Error>>, Error> {
        let arguments = self.submission(0, entries);
        let value: Value = connection.run(&script::SUBMIT, &[&self.tag], &arguments).await?;
        read_placed(entries, Reply::new(value)?)
    }

    /// Returns what `submit.lua` is called with.
    fn submission(&self, now: u64, entries: &[Entry]) -> Vec<Vec<u8>> {
        let limits = &self.config.limits;
        let mut arguments = Vec::with_capacity(5 + 4 * entries.len());
        arguments.extend([number(now), self.kept()]);
        arguments.extend([limits.queue_depth, limits.tenant_depth, limits.tier_depth].map(number));
        for entry in entries {
            entry.write(&mut arguments);
        }
        arguments
    }

    /// Leases up to `most` actions.
    pub async fn claim(&self, now: u64, most: usize) -> Result<Claimed, Error> {
        read_claimed(&mut self.run(&script::CLAIM, &self.claiming(now, most)).await?)
    }

    /// Leases up to `most` actions as soon as a command that waits is over, on a connection of one's own. Tells as well
    /// whether that command did well.
    pub(crate) async fn claim_after(
        &self,
        connection: &mut Blocking,
        wait: &redis::Cmd,
        most: usize,
    ) -> Result<(Claimed, bool), Error> {
        let arguments = self.claiming(0, most);
        let (value, waited) = connection.run_after(wait, &script::CLAIM, &[&self.tag], &arguments).await?;
        Ok((read_claimed(&mut Reply::new(value)?)?, waited))
    }

    /// Returns what `claim.lua` is called with.
    fn claiming(&self, now: u64, most: usize) -> Vec<Vec<u8>> {
        let limits = &self.config.limits;
        let mut arguments = vec![number(now), number(most), millis(self.config.lease), self.kept(), self.keep()];
        arguments.push(self.crash_delay());
        arguments.extend(limits.weights.map(|weight| number(weight.max(1))));
        arguments.push(limits.sharing.as_str().into());
        arguments.extend([number(limits.reserve), number(limits.quantum.max(1)), number(limits.tenant_in_flight)]);
        arguments.extend(limits.ageing.map(millis));
        arguments
    }

    /// Settles deliveries, all in one step.
    pub async fn settle(&self, now: u64, items: &[Settle]) -> Result<Vec<Settled>, Error> {
        let mut arguments = vec![number(now), self.kept(), self.keep()];
        settle::write(items, &mut arguments);
        let letters: Vec<u8> = self.answer(&script::SETTLE, &arguments).await?;
        if letters.len() != items.len() {
            return Err(Error::Data("another number of settlements than was asked for".to_owned()));
        }
        Ok(letters.into_iter().map(Settled::read).collect())
    }

    /// Extends leases, given as id and token.
    pub async fn extend(&self, now: u64, leases: &[(String, u64)]) -> Result<Vec<Extended>, Error> {
        let leases = leases.iter().map(|(id, token)| (id.as_str(), *token));
        let mut reply = self.run(&script::EXTEND, &extending(now, self.config.lease, leases)).await?;
        let mut extended = Vec::with_capacity(reply.len());
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
        let mut arguments = vec![number(now), self.kept(), self.keep(), self.crash_delay(), number(1000)];
        arguments.push(millis(self.config.dead_letter_ttl));
        let mut reply = self.run(&script::TICK, &arguments).await?;
        let (now, oldest_outcome, live) = (reply.number()?, reply.number()?, reply.number()?);
        let mut tiers = [TickedTier::default(); 4];
        for tier in &mut tiers {
            let (claimed, waiting) = (reply.number()?, reply.number()?);
            *tier = TickedTier { claimed, waiting, mean_run: reply.text()?.parse().ok(), oldest: reply.number()? };
        }
        Ok(Ticked { now, oldest_outcome, live, tiers })
    }

    /// Changes limits and pauses.
    pub async fn control(&self, changes: &[Change]) -> Result<(), Error> {
        let text =
            |(hash, field, value): &Change| [hash.as_bytes().to_vec(), field.clone().into(), value.clone().into()];
        let arguments: Vec<Vec<u8>> = changes.iter().flat_map(text).collect();
        self.answer::<u64>(&script::CONTROL, &arguments).await.map(drop)
    }

    /// Returns what limits and pauses are set, as changes that set the same elsewhere.
    pub(crate) async fn ruled(&self) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        for hash in ["cfg", "cap", "pt"] {
            let set: Vec<(String, String)> =
                self.redis.query(&redis::Cmd::hgetall(format!("{}{hash}", self.tag))).await?;
            changes.extend(set.into_iter().map(|(field, value)| (hash, field, value)));
        }
        Ok(changes)
    }

    /// Ends waiting and delayed actions as cancelled, a bounded number a step. Returns how many.
    pub async fn purge(&self, now: u64, purge: &Purge<'_>) -> Result<u64, Error> {
        let (mut ended, mut cursor) = (0, "0".to_owned());
        loop {
            let lane = purge.tier.map_or("", action::Tier::as_str);
            let mut arguments = vec![number(now), self.kept(), self.keep(), number(PURGE_RUN), purge.reason.into()];
            arguments.extend([lane, purge.tenant, purge.middle, &cursor].map(Into::into));
            let mut reply = self.run(&script::PURGE, &arguments).await?;
            let (more_ended, more) = (reply.number()?, reply.number()?);
            ended += more_ended;
            // All of the delayed have been seen once the cursor is back at its start.
            if !cursor.is_empty() {
                cursor = reply.text()?;
                if cursor == "0" {
                    cursor.clear();
                }
            }
            if more == 0 && cursor.is_empty() {
                return Ok(ended);
            }
        }
    }

    /// Submits dead letters again, given by their positions. One answer each: whether it was.
    pub async fn replay(&self, now: u64, positions: &[String]) -> Result<Vec<bool>, Error> {
        let mut arguments = vec![number(now), self.kept()];
        arguments.extend(positions.iter().map(|position| position.clone().into_bytes()));
        self.answer::<Vec<bool>>(&script::REPLAY, &arguments).await
    }

    /// Makes the partition agree with its invariants. It reads every key, so it is for tools.
    pub async fn repair(&self, now: u64) -> Result<(), Error> {
        self.answer::<u64>(&script::REPAIR, &[number(now), self.kept()]).await.map(drop)
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
        self.answer(&script::CHECK, &[number(VIOLATIONS)]).await
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

/// Reads what `submit.lua` answers.
pub(crate) fn read_placed(entries: &[Entry], mut reply: Reply) -> Result<Vec<Result<Placed, Error>>, Error> {
    let at = reply.number()?;
    let mut placed = Vec::with_capacity(entries.len());
    for entry in entries {
        let code = reply.signed()?;
        if let Ok(position) = u64::try_from(code) {
            placed.push(Ok(Placed { new: true, id: entry.id.clone(), position, at }));
            continue;
        }
        let (number, text) = (reply.number()?, reply.text()?);
        placed.push(match code {
            -1 => Ok(Placed { new: false, id: text, position: number, at }),
            -2 => Err(Error::full(&text, number)),
            _ => Err(Error::Data("an entry that the script does not understand".to_owned())),
        });
    }
    Ok(placed)
}

/// Reads what `claim.lua` answers.
pub(crate) fn read_claimed(reply: &mut Reply) -> Result<Claimed, Error> {
    let (now, next, token) = (reply.number()?, reply.number()?, reply.number()?);
    let mut leased = Vec::with_capacity(reply.len() / 2);
    while reply.len() > 0 {
        let id = reply.text()?;
        leased.push(if reply.is_number() {
            Leased {
                id,
                token,
                attempt: u32::try_from(reply.number()?).unwrap_or(u32::MAX),
                deadline: reply.number()?,
                first_claim: reply.number()?,
                events: reply.bytes()?,
                body: reply.bytes()?,
            }
        } else {
            let body = reply.bytes()?;
            let deadline = entry::deadline(&body, now).unwrap_or_default();
            Leased { id, token, attempt: 1, deadline, first_claim: now, events: Vec::new(), body }
        });
    }
    Ok(Claimed { now, next, leased })
}

/// Returns the script that puts a reply into an inbox.
pub(crate) fn reply_script() -> &'static Script {
    &script::REPLY
}

/// Returns the whole call that keeps leases, for a connection of its own.
pub(crate) fn extension<'a>(tag: &str, lease: Duration, leases: impl Iterator<Item = (&'a str, u64)>) -> redis::Cmd {
    script::EXTEND.whole(&[tag], &extending(0, lease, leases))
}

/// Returns what `extend.lua` is called with.
fn extending<'a>(now: u64, lease: Duration, leases: impl Iterator<Item = (&'a str, u64)>) -> Vec<Vec<u8>> {
    let mut arguments = vec![number(now), millis(lease)];
    for (id, token) in leases {
        arguments.extend([id.into(), number(token)]);
    }
    arguments
}

/// Returns the script that changes the number of a domain's partitions.
pub(crate) fn spread_script() -> &'static Script {
    &script::SPREAD
}

fn number<T: ToString + Copy>(value: T) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn millis(duration: Duration) -> Vec<u8> {
    number(duration.as_millis())
}
