//! Granted accesses in Redis, which all processes share.
//!
//! A value holds the version of its tenant's things at the time of the question; announcing a change makes another version
//! ([`Changes::announce`](crate::Changes::announce)), and a value of an older one is as good as none. So an answer that was
//! under way while something changed is never believed afterwards, however late it is written.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use action::TenantId;
use prost::Message;

use crate::changes::{VERSION_OF_ALL, version_key};

/// Written before every value; another number means another layout.
const LAYOUT: &str = "1";
/// Most bytes of a value.
const LONGEST: usize = 8 * 1024;
/// Redis is asked first and must not hold up the question to management.
const PATIENCE: Duration = Duration::from_millis(150);
/// How long Redis is left alone after it did not answer.
const REST: Duration = Duration::from_secs(1);

/// The second level of the memory.
pub(super) struct Shared {
    redis: broker::Redis,
    keep: Duration,
    /// Until when Redis is left alone.
    resting: Mutex<Option<Instant>>,
}

/// What Redis knows about an access.
pub(super) struct Known<T> {
    /// The thing, and how long it may still be relied on.
    pub(super) thing: Option<(T, Duration)>,
    /// Version of the tenant's things, to be written beside an answer.
    pub(super) version: Version,
}

/// Version of a tenant's things: a number of the tenant and one of everybody, 0 while there was no change lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(u64, u64);

impl Shared {
    pub(super) fn new(redis: broker::Redis, keep: Duration) -> Self {
        Self { redis, keep, resting: Mutex::default() }
    }

    /// Looks an access up; none when Redis does not answer.
    pub(super) async fn get<T: Message + Default>(&self, tenant: &TenantId, kind: &str, id: &str) -> Option<Known<T>> {
        let key = key(tenant, kind, id);
        let mut asking = redis::pipe();
        asking.cmd("GET").arg(&key).cmd("PTTL").arg(&key).cmd("GET").arg(version_key(tenant));
        asking.cmd("GET").arg(VERSION_OF_ALL);
        let answer = self.redis.pipeline::<(Option<Vec<u8>>, i64, Option<u64>, Option<u64>)>(&asking);
        let (value, left, of_tenant, of_all) = self.within(answer).await?;
        let version = Version(of_tenant.unwrap_or_default(), of_all.unwrap_or_default());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(self.keep);
        let thing = value.and_then(|value| read(&value, version)).filter(|_| !left.is_zero());
        Some(Known { thing: thing.map(|thing| (thing, left)), version })
    }

    /// Remembers a granted access under the version that was read before management was asked.
    pub(super) async fn put<T: Message>(&self, tenant: &TenantId, kind: &str, id: &str, thing: &T, version: Version) {
        let mut value = format!("{LAYOUT} {}.{} ", version.0, version.1).into_bytes();
        value.extend(thing.encode_to_vec());
        if value.len() > LONGEST {
            return;
        }
        let mut put = redis::cmd("SET");
        put.arg(key(tenant, kind, id))
            .arg(value)
            .arg("PX")
            .arg(u64::try_from(self.keep.as_millis()).unwrap_or(1).max(1));
        self.within(self.redis.query::<()>(&put)).await;
    }

    async fn within<T>(&self, asking: impl Future<Output = Result<T, broker::Error>>) -> Option<T> {
        if self.resting().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let trouble = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(trouble, "access is checked without Redis for now");
        *self.resting.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now() + REST);
        None
    }

    fn resting(&self) -> Option<Instant> {
        *self.resting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The tenant stands in braces, so that its keys lie together in a cluster.
fn key(tenant: &TenantId, kind: &str, id: &str) -> String {
    format!("access:{{{tenant}}}:{kind}:{id}")
}

fn read<T: Message + Default>(value: &[u8], version: Version) -> Option<T> {
    let mut parts = value.splitn(3, |byte| *byte == b' ');
    let (layout, written, thing) = (parts.next()?, parts.next()?, parts.next()?);
    let (of_tenant, of_all) = std::str::from_utf8(written).ok()?.split_once('.')?;
    let written = Version(of_tenant.parse().ok()?, of_all.parse().ok()?);
    if layout != LAYOUT.as_bytes() || written != version {
        return None;
    }
    T::decode(thing).ok()
}

#[cfg(test)]
mod tests {
    use proto::management::v1::Agent;

    use super::*;

    #[test]
    fn a_value_of_another_layout_or_version_is_none() {
        let agent = Agent { agent_id: "agent-1".to_owned(), ..Agent::default() };
        let value = [b"1 7.2 ".as_slice(), &agent.encode_to_vec()].concat();
        assert_eq!(read(&value, Version(7, 2)), Some(agent));
        assert_eq!(read::<Agent>(&value, Version(8, 2)), None);
        assert_eq!(read::<Agent>(&value, Version(7, 3)), None);
        for broken in [b"".as_slice(), b"1", b"1 7.2", b"2 7.2 ", b"1 x ", b"1 7 ", b"1 7.2 \xff\xff"] {
            assert_eq!(read::<Agent>(broken, Version(7, 2)), None, "{broken:?}");
        }
    }
}
