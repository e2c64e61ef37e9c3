//! Who is connected, all processes together: leases that end by themselves when their process does.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `{ns:<tenant>}:sockets` | sorted set | connections `<id> <session> <user>`, by when their lease ends |
//! | `{ns:<tenant>}:sockets:<user>` | sorted set | the same of one user |
//! | `{ns}:nodes`, `{ns}:reports` | sorted set, hash | what each process says about its connections |
//!
//! # What always holds
//!
//! * A lease is taken by one script, which looks at the limits of the tenant and the user and charges neither when it refuses.
//! * A process renews everything that it holds in one pipeline, so Redis' work grows with tenants, not with time. Whatever a
//!   process held that died is free after [`Pace::lease`].
//! * Without Redis nobody is refused here: how many a process takes is bounded by itself, and what it holds counts again when
//!   Redis is back.

mod keeper;
mod report;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use action::{SessionId, TenantId, Tier, UserId};
use broker::{NO_ARGUMENTS, Redis, Script};
use fault::{Failure, Fault, reason};
use tokio::sync::Notify;

use crate::Error;
use crate::append::millis;
use crate::scripts::number;
pub use report::{Report, TenantCount};

/// How long a connection counts, and how often a process renews what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long a connection counts whose process has not renewed it.
    pub lease: Duration,
    /// Time between two renewals; a few of them fit into a lease.
    pub renewal: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { lease: Duration::from_mins(1), renewal: Duration::from_secs(20) }
    }
}

/// Nobody who connects waits longer for Redis.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Tenant, proved.
    pub tenant: TenantId,
    /// The tenant's tier.
    pub tier: Tier,
    /// Session that is followed.
    pub session: SessionId,
    /// Person, where one is named.
    pub user: Option<UserId>,
}

/// Most connections at a time, all processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Of the tenant.
    pub tenant: u32,
    /// Of one user of the tenant.
    pub user: u32,
}

/// There are as many connections as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Of the tenant.
    #[error("the tenant has its {0} connections already")]
    Tenant(u32),
    /// Of the user.
    #[error("the user has their {0} connections already")]
    User(u32),
}

impl Fault for Full {
    fn failure(&self) -> Failure {
        let (Self::Tenant(limit) | Self::User(limit)) = self;
        let scope = if matches!(self, Self::Tenant(_)) { "tenant" } else { "user" };
        Failure::new(&reason::CONNECTION_LIMIT, format!("{self}; close one first"))
            .retry_after(Duration::from_secs(5))
            .with("limit", limit.to_string())
            .with("scope", scope)
    }
}

/// One connection of a tenant, as all processes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Session that is followed.
    pub session: String,
    /// Person, where one was named.
    pub user: Option<String>,
}

/// Takes and renews leases of this process. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Connections {
    inner: Arc<Inner>,
}

/// What all clones and leases share.
#[derive(Debug)]
struct Inner {
    redis: Redis,
    scripts: Scripts,
    pace: Pace,
    /// Names this process.
    node: String,
    next: AtomicU64,
    held: Mutex<Held>,
    /// Held while Redis is told, so that what was given back is never renewed after, nor overtaken by who comes next.
    telling: tokio::sync::Mutex<()>,
    /// Something was given back, or taken.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// Connections by tenant, with their users.
    tenants: HashMap<TenantId, Tenant>,
    /// Given back here, and not yet in Redis: keys and connection.
    left: Vec<(Vec<String>, String)>,
}

#[derive(Debug)]
struct Tenant {
    tier: Tier,
    connections: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    user: Option<UserId>,
    /// It was let in; until then nobody counts it.
    counts: bool,
}

#[derive(Debug)]
struct Scripts {
    take: Script,
    renew: Script,
    list: Script,
    report: Script,
}

/// A connection that counts, until this is dropped.
#[derive(Debug)]
pub struct Lease {
    inner: Arc<Inner>,
    tenant: TenantId,
    connection: String,
}

impl Connections {
    /// Takes the server that counts. Nothing is renewed unless [`Connections::keep`] runs.
    pub fn new(redis: Redis, pace: Pace) -> Self {
        let scripts = Scripts {
            take: Script::new("connections_take", include_str!("connections/take.lua")),
            renew: Script::new("connections_renew", include_str!("connections/renew.lua")),
            list: Script::new("connections_list", include_str!("connections/list.lua")),
            report: Script::new("connections_report", include_str!("connections/report.lua")),
        };
        let inner = Inner {
            redis,
            scripts,
            pace,
            node: uuid::Uuid::new_v4().simple().to_string(),
            next: AtomicU64::new(0),
            held: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the name of this process.
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// Counts a connection, or says that there are as many as may be. While Redis is away, everybody is let in.
    pub async fn take(&self, who: &Occupant, most: Most) -> Result<Lease, Full> {
        let inner = &self.inner;
        let number_of = inner.next.fetch_add(1, Ordering::Relaxed);
        let user = who.user.as_ref().map_or("-", UserId::as_str);
        let connection = format!("{}.{number_of} {} {user}", inner.node, who.session);
        let keys = keys(&who.tenant, who.user.as_ref());
        // Held before it is asked for, so that it is given back whatever happens to this future.
        let lease = inner.hold(who, connection.clone());
        let arguments =
            [connection.into_bytes(), number(millis(inner.pace.lease)), number(most.tenant), number(most.user)];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let asking = async {
            // What was just given back must not stand in the way.
            inner.give_back().await;
            inner.redis.run::<u64>(&inner.scripts.take, &keys, &arguments).await
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            // Who cannot be asked in time is as if they were away.
            Ok(Ok(0)) | Err(_) => Ok(lease.counting()),
            Ok(Ok(1)) => Err(Full::Tenant(most.tenant)),
            Ok(Ok(_)) => Err(Full::User(most.user)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection is counted by this process alone for now");
                Ok(lease.counting())
            }
        }
    }

    /// Returns the connections of a tenant.
    pub async fn of_tenant(&self, tenant: &TenantId) -> Result<Vec<Connected>, Error> {
        let inner = &self.inner;
        inner.give_back().await;
        let found: Vec<String> = inner.redis.run(&inner.scripts.list, &[&all_of(tenant)], NO_ARGUMENTS).await?;
        Ok(found.iter().filter_map(|text| Connected::parse(text)).collect())
    }
}

impl Connected {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').skip(1);
        let (session, user) = (words.next()?, words.next()?);
        Some(Self { session: session.to_owned(), user: (user != "-").then(|| user.to_owned()) })
    }
}

impl Inner {
    fn hold(self: &Arc<Self>, who: &Occupant, connection: String) -> Lease {
        let mut held = self.held();
        let tenant = held
            .tenants
            .entry(who.tenant.clone())
            .or_insert_with(|| Tenant { tier: who.tier, connections: HashMap::new() });
        tenant.tier = who.tier;
        tenant.connections.insert(connection.clone(), Entry { user: who.user.clone(), counts: false });
        drop(held);
        Lease { inner: Arc::clone(self), tenant: who.tenant.clone(), connection }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing under the lock can leave it half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// From now on it is renewed.
    fn counting(self) -> Self {
        let mut held = self.inner.held();
        let tenant = held.tenants.get_mut(&self.tenant);
        if let Some(entry) = tenant.and_then(|tenant| tenant.connections.get_mut(&self.connection)) {
            entry.counts = true;
        }
        drop(held);
        self.inner.changed.notify_one();
        self
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.inner.held();
        let Some(tenant) = held.tenants.get_mut(&self.tenant) else { return };
        let Some(Entry { user, .. }) = tenant.connections.remove(&self.connection) else { return };
        if tenant.connections.is_empty() {
            held.tenants.remove(&self.tenant);
        }
        held.left.push((keys(&self.tenant, user.as_ref()), std::mem::take(&mut self.connection)));
        drop(held);
        self.inner.changed.notify_one();
    }
}

fn all_of(tenant: &TenantId) -> String {
    format!("{{ns:{tenant}}}:sockets")
}

fn keys(tenant: &TenantId, user: Option<&UserId>) -> Vec<String> {
    let all = all_of(tenant);
    let of_user = user.map(|user| format!("{all}:{user}"));
    std::iter::once(all).chain(of_user).collect()
}
