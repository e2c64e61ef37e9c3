//! Deciding without Redis, for a while, within bounds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use action::TenantId;

use crate::charge::{Plan, Scope};
use crate::window::windows;
use crate::{Error, Exceeded, Window};

/// Most that are counted at a time; further ones are refused.
const COUNTED: usize = 10_000;

/// What a tier's requests get while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// A share of the tier's minute and day, counted by this process alone.
    Local,
    /// A refusal.
    Deny,
    /// Everything.
    Allow,
}

/// Says when Redis is not asked.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Until when nobody asks, by the clock of the quota; 0 while everybody may.
    open_until: AtomicU64,
}

impl Breaker {
    /// Tells whether Redis may be asked. After a pause one caller finds out for all.
    pub(crate) fn allows(&self, now: u64, pause: Duration) -> bool {
        let until = self.open_until.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        let next = now + ms(pause);
        now >= until && self.open_until.compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Notes how a question ended; tells whether that is news.
    pub(crate) fn note(&self, answered: bool, now: u64, pause: Duration) -> bool {
        let until = if answered { 0 } else { now + ms(pause) };
        let before = self.open_until.swap(until, Ordering::AcqRel);
        (before == 0) != answered
    }
}

/// Counts of this process alone.
#[derive(Debug, Default)]
pub(crate) struct Local {
    counts: Mutex<HashMap<(TenantId, Scope), Vec<Counted>>>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    unit: u32,
    part: u64,
    used: u64,
}

impl Local {
    /// Decides about a request within `percent` of the windows of requests of one scope, e.g. the tenant's; what is counted
    /// elsewhere, such as the requests of a session, is not looked at.
    pub(crate) fn admit(
        &self,
        (tenant, scope): (&TenantId, &Scope),
        plan: &Plan,
        percent: u32,
        now: u64,
    ) -> Result<Vec<Window>, Error> {
        let plan = share(plan, scope, percent);
        let of = (tenant.clone(), scope.clone());
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= COUNTED && !all.contains_key(&of) {
            all.retain(|_, counts| counts.iter().any(|count| count.part == now / 1000 / u64::from(count.unit)));
            if all.len() >= COUNTED {
                return Err(Error::Away);
            }
        }
        let counts = all.entry(of).or_default();
        for window in &plan.windows {
            let part = now / 1000 / u64::from(window.unit);
            match counts.iter_mut().find(|count| count.unit == window.unit) {
                Some(count) if count.part == part => {}
                Some(count) => *count = Counted { unit: window.unit, part, used: 0 },
                None => counts.push(Counted { unit: window.unit, part, used: 0 }),
            }
        }
        let used_up =
            |count: &Counted| plan.windows.iter().any(|window| window.unit == count.unit && count.used >= window.limit);
        let refused = counts.iter().any(used_up);
        if !refused {
            for count in counts.iter_mut() {
                count.used += 1;
            }
        }
        let standing = standing(&plan, counts, now);
        drop(all);
        let windows = windows(&plan, 0, &standing);
        if refused { Err(Exceeded::among(windows, &plan)) } else { Ok(windows) }
    }
}

fn share(plan: &Plan, scope: &Scope, percent: u32) -> Plan {
    let windows = plan.windows.iter().filter(|window| window.scope == *scope && !window.counts_tokens());
    let shared = windows.cloned().map(|mut window| {
        // At least one, unless nothing is allowed at all.
        window.limit = (window.limit * u64::from(percent) / 100).max(window.limit.min(1));
        window
    });
    Plan { windows: shared.collect(), tasks: None, task: None }
}

fn standing(plan: &Plan, counts: &[Counted], now: u64) -> Vec<(u64, u64)> {
    let of = |unit: u32| {
        let used = counts.iter().find(|count| count.unit == unit).map_or(0, |count| count.used);
        let length = u64::from(unit) * 1000;
        (used, length - now % length)
    };
    plan.windows.iter().map(|window| of(window.unit)).collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
