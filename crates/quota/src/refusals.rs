//! Refusals that this process knows of: while a window is used up, nobody has to be asked.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use action::{TenantId, Tier};
use ahash::RandomState;
use moka::sync::Cache;

use crate::charge::{Charge, MINUTE, Plan, Planned, Scope, TASKS};
use crate::{Error, Exceeded, Window};

/// Most refusals, and most tenants, that are remembered.
const CAPACITY: u64 = 20_000;
/// How long what a tenant's windows were is told instead of asked again.
const FRESH_MS: u64 = 1_000;
/// How long a refusal of a window longer than a minute is believed without asking again.
const BELIEVED_MS: u64 = 30_000;
/// Longest time that anything is kept; windows end on their own before that, except those of a day.
const KEPT: Duration = Duration::from_hours(1);

type Key = (TenantId, Scope, &'static str);

#[derive(Clone)]
struct Refused {
    limit: u64,
    /// When it was asked for, until when it is believed, and when the window ends at the latest.
    at: u64,
    until: u64,
    ends: u64,
    windows: Vec<Window>,
}

/// See the module. Windows that count tokens or tasks are not remembered: they open again without ending.
#[derive(Clone)]
pub(crate) struct Refusals {
    refused: Cache<Key, Refused, RandomState>,
    /// Until when a tenant may have any of them. Most have none, and cost one look.
    over: Cache<TenantId, u64, RandomState>,
    seen: Cache<TenantId, Arc<Mutex<Seen>>, RandomState>,
}

/// How a tenant's windows stood when they were asked for. Written in place: it changes with every request.
struct Seen {
    tier: Tier,
    at: u64,
    windows: Vec<Window>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { refused: cache(), over: cache(), seen: cache() }
    }
}

fn cache<K, V>() -> Cache<K, V, RandomState>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(CAPACITY).time_to_live(KEPT).build_with_hasher(RandomState::new())
}

impl Refusals {
    /// Returns the refusal of a request that would be refused again.
    pub(crate) fn find(&self, tenant: &TenantId, plan: &Plan, now: u64) -> Option<Error> {
        self.over.get(tenant).filter(|until| now < *until)?;
        let known = plan.windows.iter().filter(|window| !window.counts_tokens()).filter_map(|window| {
            let refused = self.refused.get(&key(tenant, window))?;
            // A limit that was changed decides anew.
            (refused.limit == window.limit && now < refused.until).then_some((window, refused))
        });
        // The one that lasts longest, as it was told at first.
        let (window, refused) = known.max_by_key(|(_, refused)| refused.ends)?;
        Some(refused.error(window, now))
    }

    /// Remembers a refusal that was decided at `asked` or a little later.
    pub(crate) fn note(&self, tenant: &TenantId, plan: &Plan, exceeded: &Exceeded, asked: u64) {
        for (planned, window) in plan.windows.iter().zip(&exceeded.windows) {
            if window.remaining == 0 && !planned.counts_tokens() {
                let left = u64::try_from(window.reset.as_millis()).unwrap_or(u64::MAX);
                // Counted from before the question, so that it is forgotten early rather than late.
                let (limit, ends) = (planned.limit, asked.saturating_add(left));
                // What another process took back is noticed in windows that would last for hours.
                let until = if planned.unit > MINUTE { ends.min(asked + BELIEVED_MS) } else { ends };
                let of_all = |window: &&Window| planned.scope != Scope::Tenant || is_of_tenant(window);
                let windows = exceeded.windows.iter().filter(of_all).cloned().collect();
                self.refused.insert(key(tenant, planned), Refused { limit, at: asked, until, ends, windows });
                self.put_off(tenant, until);
            }
        }
    }

    /// Notes that a tenant may be refused until then at least.
    fn put_off(&self, tenant: &TenantId, until: u64) {
        let entry = self.over.entry_by_ref(tenant);
        let _latest = entry.and_upsert_with(|before| before.map_or(until, |before| until.max(before.into_value())));
    }

    /// Forgets what is known of a tenant and this request, which was not charged after all.
    pub(crate) fn forget(&self, charge: &Charge, plan: &Plan) {
        for planned in &plan.windows {
            self.refused.invalidate(&key(&charge.tenant, planned));
        }
        self.seen.invalidate(&charge.tenant);
    }

    /// Remembers how a tenant's windows stand.
    pub(crate) fn see(&self, tenant: &TenantId, tier: Tier, windows: &[Window], asked: u64) {
        let windows = windows.iter().filter(|window| is_of_tenant(window)).cloned().collect();
        let seen = Seen { tier, at: asked, windows };
        match self.seen.get(tenant) {
            Some(before) => *before.lock().unwrap_or_else(PoisonError::into_inner) = seen,
            None => self.seen.insert(tenant.clone(), Arc::new(Mutex::new(seen))),
        }
    }

    /// Returns how a tenant's windows stand, if that was asked a moment ago.
    pub(crate) fn seen(&self, tenant: &TenantId, tier: Tier, now: u64) -> Option<Vec<Window>> {
        let seen = self.seen.get(tenant)?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.checked_sub(seen.at).filter(|age| *age < FRESH_MS && seen.tier == tier)?;
        seen.windows.iter().map(|window| window.later(Duration::from_millis(age))).collect()
    }
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").field("remembered", &self.refused.entry_count()).finish_non_exhaustive()
    }
}

impl Refused {
    fn error(&self, window: &Planned, now: u64) -> Error {
        let since = Duration::from_millis(now.saturating_sub(self.at));
        let windows = self.windows.iter().filter_map(|window| window.later(since)).collect();
        Error::Exceeded(Box::new(Exceeded {
            window: window.name,
            limit: self.limit,
            retry_after: Duration::from_millis(self.ends.saturating_sub(now)),
            windows,
        }))
    }
}

fn key(tenant: &TenantId, window: &Planned) -> Key {
    (tenant.clone(), window.scope.clone(), window.name)
}

fn is_of_tenant(window: &Window) -> bool {
    matches!(window.name, "minute" | "day" | TASKS) || !window.counts_requests()
}
