//! Dead letters: listed, inspected, submitted again, thrown away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use action::{Domain, time};
use prost::Message as _;
use prost_types::Any;
use proto::action::v1::{DomainAction, ErrorDetail};
use proto::queue::v1::DeadLetter;

use crate::control::{Letters, Replayed};
use crate::part::Part;
use crate::queue::Inner;
use crate::{Error, keys, stored};

/// Entries that are read at once when many are gone through.
const PAGE: usize = 200;
/// Most entries that one listing looks at to fill a page.
const LOOK: usize = 2_000;

type Entry = (String, HashMap<String, Vec<u8>>);

/// Lists dead letters that match, oldest first, and tells where to go on.
pub(crate) async fn list(
    inner: &Inner,
    domain: Domain,
    letters: &Letters,
    page_size: usize,
    page_token: &str,
) -> Result<(Vec<DeadLetter>, String), Error> {
    let size = page_size.clamp(1, 100);
    let (partition, mut after) = read_token(page_token)?;
    let now = now(inner).await?;
    let (mut found, mut looked) = (Vec::new(), 0);
    for (number, part) in inner.parts_of(domain).iter().enumerate().skip(partition) {
        loop {
            let page = read(inner, part, after.as_deref(), PAGE).await?;
            for (entry, fields) in &page {
                looked += 1;
                after = Some(entry.clone());
                if letters.match_entry(entry, fields, now) {
                    found.push(letter(number, entry, fields, false));
                }
                if found.len() == size || looked == LOOK {
                    return Ok((found, format!("{number}.{entry}")));
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        after = None;
    }
    Ok((found, String::new()))
}

/// Returns one dead letter with its bytes.
pub(crate) async fn get(inner: &Inner, domain: Domain, position: &str) -> Result<Option<DeadLetter>, Error> {
    let (number, entry) = read_position(position)?;
    let parts = inner.parts_of(domain);
    let Some(part) = parts.get(number) else { return Ok(None) };
    let mut command = redis::cmd("XRANGE");
    command.arg(key(part)).arg(&entry).arg(&entry);
    let found: Vec<Entry> = inner.redis.query(&command).await?;
    Ok(found.first().map(|(entry, fields)| letter(number, entry, fields, true)))
}

/// Submits dead letters again.
pub(crate) async fn replay(inner: &Inner, domain: Domain, letters: &Letters) -> Result<Replayed, Error> {
    let mut replayed = Replayed::default();
    let mut walk = Walk::start(inner, domain, letters).await?;
    while let Some((part, positions)) = walk.next(inner, letters).await? {
        let answers = part.engine.replay(0, &positions).await?;
        let again = answers.iter().filter(|again| **again).count();
        replayed.replayed += again as u64;
        replayed.left += (answers.len() - again) as u64;
    }
    Ok(replayed)
}

/// Throws dead letters away.
pub(crate) async fn delete(inner: &Inner, domain: Domain, letters: &Letters) -> Result<u64, Error> {
    let mut deleted = 0;
    let mut walk = Walk::start(inner, domain, letters).await?;
    while let Some((part, positions)) = walk.next(inner, letters).await? {
        deleted += inner.redis.query::<u64>(&redis::Cmd::xdel(key(&part), &positions)).await?;
    }
    Ok(deleted)
}

/// A way through the letters that are meant, some at a time. Those that come after its start are left out.
struct Walk {
    parts: Vec<Arc<Part>>,
    named: HashMap<usize, Vec<String>>,
    /// Partition and entry where it stands.
    at: (usize, Option<String>),
    began: u64,
}

impl Walk {
    async fn start(inner: &Inner, domain: Domain, letters: &Letters) -> Result<Self, Error> {
        let mut named: HashMap<usize, Vec<String>> = HashMap::new();
        if let Letters::Named(positions) = letters {
            for position in positions {
                let (number, entry) = read_position(position)?;
                named.entry(number).or_default().push(entry);
            }
        }
        Ok(Self { parts: inner.parts_of(domain), named, at: (0, None), began: now(inner).await? })
    }

    /// Returns the next positions in one partition; none at the end.
    async fn next(&mut self, inner: &Inner, letters: &Letters) -> Result<Option<(Arc<Part>, Vec<String>)>, Error> {
        while let Some(part) = self.parts.get(self.at.0).map(Arc::clone) {
            if let Letters::Named(_) = letters {
                let named = self.named.remove(&self.at.0);
                self.at.0 += 1;
                match named {
                    Some(positions) => return Ok(Some((part, positions))),
                    None => continue,
                }
            }
            let page = read(inner, &part, self.at.1.as_deref(), PAGE).await?;
            let fresh = |entry: &str| read_moment(entry).is_some_and(|at| at > self.began);
            let meant =
                page.iter().filter(|(entry, fields)| !fresh(entry) && letters.match_entry(entry, fields, self.began));
            let positions: Vec<String> = meant.map(|(entry, _)| entry.clone()).collect();
            let last = page.last().map(|(entry, _)| entry.clone());
            self.at = if page.len() < PAGE || last.as_deref().is_some_and(fresh) {
                (self.at.0 + 1, None)
            } else {
                (self.at.0, last)
            };
            if !positions.is_empty() {
                return Ok(Some((part, positions)));
            }
        }
        Ok(None)
    }
}

impl Letters {
    fn match_entry(&self, entry: &str, fields: &HashMap<String, Vec<u8>>, now: u64) -> bool {
        let Self::Matching { why, tenant, older_than } = self else { return false };
        let is = |name: &str, wanted: &str| fields.get(name).is_some_and(|value| value == wanted.as_bytes());
        why.as_ref().is_none_or(|why| is("why", why))
            && tenant.as_ref().is_none_or(|tenant| is("tenant", tenant.as_str()))
            && older_than.is_none_or(|age| is_older(entry, age, now))
    }
}

fn is_older(entry: &str, age: Duration, now: u64) -> bool {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    read_moment(entry).is_some_and(|at| now.saturating_sub(at) >= age)
}

fn read_moment(entry: &str) -> Option<u64> {
    entry.split_once('-').and_then(|(ms, _)| ms.parse().ok())
}

async fn now(inner: &Inner) -> Result<u64, Error> {
    let (seconds, micros): (u64, u64) = inner.redis.query(&redis::cmd("TIME")).await?;
    Ok(seconds * 1_000 + micros / 1_000)
}

async fn read(inner: &Inner, part: &Part, after: Option<&str>, most: usize) -> Result<Vec<Entry>, Error> {
    let start = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
    let mut command = redis::cmd("XRANGE");
    command.arg(key(part)).arg(start).arg("+").arg("COUNT").arg(most);
    Ok(inner.redis.query(&command).await?)
}

fn key(part: &Part) -> String {
    format!("{}dead", part.engine.tag())
}

fn read_token(token: &str) -> Result<(usize, Option<String>), Error> {
    if token.is_empty() {
        return Ok((0, None));
    }
    let (number, entry) = split(token).ok_or(Error::PageToken)?;
    Ok((number, Some(entry)))
}

fn read_position(position: &str) -> Result<(usize, String), Error> {
    split(position).ok_or_else(|| Error::Field {
        field: "entry_id",
        rule: "an `entry_id` is one that a listing of dead letters showed".to_owned(),
    })
}

/// Reads `partition.milliseconds-number`.
fn split(position: &str) -> Option<(usize, String)> {
    let (number, entry) = position.split_once('.')?;
    let digits = |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    entry.split_once('-').filter(|(ms, number)| digits(ms) && digits(number))?;
    Some((number.parse().ok()?, entry.to_owned()))
}

fn letter(number: usize, entry: &str, fields: &HashMap<String, Vec<u8>>, whole: bool) -> DeadLetter {
    let bytes = |name: &str| fields.get(name).map(Vec::as_slice).unwrap_or_default();
    let text = |name: &str| String::from_utf8_lossy(bytes(name)).into_owned();
    let error = ErrorDetail::decode(bytes("error")).map(|detail| detail.message).unwrap_or_default();
    let id = text("id");
    let action = stored::decode(&id, bytes("body")).map(|(_, action, _)| Any {
        type_url: <DomainAction as prost::Name>::type_url(),
        value: action.to_proto().encode_to_vec(),
    });
    DeadLetter {
        entry_id: format!("{number}.{entry}"),
        action_id: keys::read_entry_id(&id).map_or(id, |id| id.to_string()),
        tenant_id: text("tenant"),
        queue_name: text("queue"),
        why: text("why"),
        error,
        at: text("at").parse().ok().map(time::from_unix_ms),
        attempts: text("attempts").parse().unwrap_or_default(),
        action,
        body: if whole { bytes("body").to_vec() } else { Vec::new() },
    }
}
