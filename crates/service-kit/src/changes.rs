//! Changes of what management knows, told to every process, so that what it remembers is never old for long.
//!
//! Management announces a change when it is committed; every process listens, on one connection, and from then on believes
//! nothing that it learned before about what was changed. Redis carries the news and is not needed to decide: without
//! it answers are asked for again after a short time.

mod announce;
mod change;
mod listen;
mod stamps;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use action::TenantId;
use tokio::sync::{Notify, watch};

use crate::Tasks;
use announce::Pending;
pub(crate) use announce::{VERSION_OF_ALL, version_key};
pub use change::Change;
use stamps::Stamps;

/// Channel of all processes.
const CHANNEL: &str = "access:changes";

/// What has changed, as far as this process knows. Cloning is cheap.
#[derive(Clone)]
pub struct Changes {
    inner: Arc<Inner>,
}

struct Inner {
    /// None where nobody is to be told.
    redis: Option<broker::Redis>,
    /// How long a version must be known: longer than anything that was remembered under it.
    keep: std::time::Duration,
    connected: AtomicBool,
    stamps: Stamps,
    /// Tells of every change of the stamp of keys.
    keys: watch::Sender<u64>,
    pending: Mutex<Pending>,
    news: Notify,
    told: Notify,
}

impl Changes {
    /// Begins to listen and to announce in `tasks`.
    pub(crate) fn start(redis: broker::Redis, keep: std::time::Duration, tasks: &Tasks) -> Self {
        let changes = Self::new(Some(redis), keep);
        tasks.spawn(changes.clone().listening(tasks.ending()));
        tasks.spawn(changes.clone().announcing(tasks.ending()));
        changes
    }

    /// Takes announcements and tells nobody, for where there is one process and no Redis.
    pub fn unheard() -> Self {
        Self::new(None, std::time::Duration::ZERO)
    }

    fn new(redis: Option<broker::Redis>, keep: std::time::Duration) -> Self {
        let inner = Inner {
            redis,
            keep,
            connected: AtomicBool::new(false),
            stamps: Stamps::default(),
            keys: watch::Sender::new(0),
            pending: Mutex::default(),
            news: Notify::new(),
            told: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Tells whether changes are heard of at once. While they are not, what is remembered must be asked for again soon.
    pub fn connected(&self) -> bool {
        self.inner.connected.load(Ordering::Acquire)
    }

    /// Returns a number that is another one after every change of a tenant's things. What is remembered with the number that
    /// was read before it was asked for is known to be unchanged while the number is the same.
    pub fn stamp_of(&self, tenant: &TenantId) -> u64 {
        self.inner.stamps.of(tenant)
    }

    /// Returns what tells of every change of keys and of what their tenants may, for those who hold something open.
    pub fn watch_keys(&self) -> watch::Receiver<u64> {
        self.inner.keys.subscribe()
    }

    fn apply(&self, change: &Change) {
        self.inner.stamps.apply(change);
        if !matches!(change, Change::Thing(_)) {
            self.inner.keys.send_replace(self.stamp_of_keys());
        }
    }

    /// Like [`Changes::stamp_of`], for keys and what their tenants may.
    pub fn stamp_of_keys(&self) -> u64 {
        self.inner.stamps.of_keys()
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("connected", &self.connected()).finish_non_exhaustive()
    }
}
