//! Telling all processes what has changed.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use action::TenantId;
use tokio_util::sync::CancellationToken;

use super::{CHANNEL, Change, Changes};

/// Changes that wait for Redis to come back; more are told as one.
const MOST_PENDING: usize = 10_000;
/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the one who changed something waits for the news to be out, so that the next call anywhere sees the change.
const PATIENCE: Duration = Duration::from_millis(250);

/// What has not been told yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: BTreeSet<Change>,
    /// How many announcements were taken in, and how many of them are out.
    taken: u64,
    out: u64,
}

impl Changes {
    /// Tells every process, this one first, that something has changed. To be called once it is committed.
    ///
    /// Never fails: while Redis is away the news waits here, and processes that hear nothing ask again soon.
    pub async fn announce(&self, change: Change) {
        self.apply(&change);
        if self.inner.redis.is_none() {
            return;
        }
        let number = {
            let mut pending = self.pending();
            pending.changes.insert(change);
            if pending.changes.len() > MOST_PENDING {
                tracing::warn!("too many changes wait to be told; everything is told as changed");
                pending.changes = BTreeSet::from([Change::Everything]);
            }
            pending.taken += 1;
            pending.taken
        };
        self.inner.news.notify_one();
        let _waited_enough = tokio::time::timeout(PATIENCE, self.until_out(number)).await;
    }

    async fn until_out(&self, number: u64) {
        loop {
            let told = self.inner.told.notified();
            if self.pending().out >= number {
                return;
            }
            told.await;
        }
    }

    /// Runs until the process ends.
    pub(super) async fn announcing(self, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = self.inner.news.notified() => {}
                () = ending.cancelled() => return,
            }
            while !self.tell_pending().await {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = ending.cancelled() => return,
                }
            }
        }
    }

    /// Tells what is pending; returns whether all of it is out.
    async fn tell_pending(&self) -> bool {
        let (changes, taken) = {
            let mut pending = self.pending();
            (std::mem::take(&mut pending.changes), pending.taken)
        };
        if let Err(error) = self.tell(&changes).await {
            tracing::warn!(%error, changes = changes.len(), "changes cannot be told for now");
            // Told twice is as good as once.
            self.pending().changes.extend(changes);
            return false;
        }
        self.pending().out = taken;
        self.inner.told.notify_waiters();
        true
    }

    async fn tell(&self, changes: &BTreeSet<Change>) -> Result<(), broker::Error> {
        let Some(redis) = self.inner.redis.as_ref().filter(|_| !changes.is_empty()) else { return Ok(()) };
        // What is remembered in Redis is void before anyone is told to look there again.
        let mut versions = redis::pipe();
        for key in changes.iter().filter_map(version_of) {
            // A version that was forgotten must not come back while something is remembered under it.
            let ttl = u64::try_from(self.inner.keep.as_millis()).unwrap_or(u64::MAX / 4).saturating_mul(2) + 60_000;
            // A number that never comes again, unlike one that is counted up and forgotten.
            let version = rand::random::<u64>() | 1;
            versions.cmd("SET").arg(&key).arg(version).arg("PX").arg(ttl).ignore();
        }
        if !versions.is_empty() {
            redis.pipeline::<()>(&versions).await?;
        }
        for change in changes {
            redis.query::<i64>(redis::cmd("PUBLISH").arg(CHANNEL).arg(change.to_string())).await?;
        }
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Nothing under the lock can leave it half changed.
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the key of the version that a change makes another one.
fn version_of(change: &Change) -> Option<String> {
    match change {
        Change::Thing(tenant) | Change::Tenant(tenant) => Some(version_key(tenant)),
        Change::Everything => Some(VERSION_OF_ALL.to_owned()),
        Change::Key => None,
    }
}

/// Key of the version of everybody's things; absent while not everything has changed lately.
pub(crate) const VERSION_OF_ALL: &str = "access:version";

/// Key of the version of a tenant's things; absent while none has changed lately. The braces make the tenant's keys lie together in a cluster.
pub(crate) fn version_key(tenant: &TenantId) -> String {
    format!("access:{{{tenant}}}:version")
}
