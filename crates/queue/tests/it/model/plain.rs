//! What actions do, in plain Rust.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use queue::engine::{Entry, Lane};

use super::{CRASH_DELAY, MAX_CRASHES, T0};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Delayed { until: u64 },
    Leased { token: u64, until: u64 },
    Ended,
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) entry: Entry,
    pub(super) place: Place,
    pub(super) wait_until: u64,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    /// Deadline and first claim, once a delivery has ended without ending the action.
    pub(super) limits: Option<(u64, u64)>,
    pub(super) flagged: bool,
    /// Whether its body was overwritten with something that nobody can read.
    pub(super) malformed: bool,
}

impl Known {
    pub(super) fn is_callback(&self) -> bool {
        self.entry.lane == Lane::Callbacks
    }
}

/// Limits and pauses; 0 = no limit.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) paused: bool,
    pub(super) paused_tiers: BTreeSet<&'static str>,
    pub(super) paused_tenants: BTreeSet<String>,
    pub(super) cap: u64,
    pub(super) caps: BTreeMap<String, u64>,
    pub(super) queue_depth: u64,
    pub(super) tenant_depth: u64,
    pub(super) tier_depths: BTreeMap<&'static str, u64>,
}

pub(super) type Queue = (String, String, &'static str);

pub(super) struct Model {
    pub(super) now: u64,
    pub(super) known: BTreeMap<String, Known>,
    /// Ids by queue, tombstones included.
    pub(super) queues: HashMap<Queue, VecDeque<String>>,
    /// Every delivery there ever was.
    pub(super) deliveries: Vec<(String, u64)>,
    pub(super) last_token: u64,
    pub(super) rules: Rules,
    /// Ids by tenant and idempotency key.
    pub(super) keys: HashMap<(String, String), String>,
    /// Outcomes that were not handed over yet.
    pub(super) outbox: BTreeSet<String>,
    /// Dead letters: those that were replayed are not counted any more.
    pub(super) dead: usize,
    /// Submits so far, refused ones included.
    pub(super) submits: usize,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            now: T0,
            known: BTreeMap::new(),
            queues: HashMap::new(),
            deliveries: Vec::new(),
            last_token: 0,
            rules: Rules::default(),
            keys: HashMap::new(),
            outbox: BTreeSet::new(),
            dead: 0,
            submits: 0,
        }
    }

    pub(super) fn queue_of(entry: &Entry) -> Queue {
        (entry.tenant.clone(), entry.middle.clone(), entry.lane.as_str())
    }

    pub(super) fn get(&mut self, id: &str) -> &mut Known {
        self.known.get_mut(id).expect("it is known")
    }

    pub(super) fn enqueue(&mut self, id: &str, at_head: bool) {
        let known = self.known.get_mut(id).expect("it is known");
        known.place = Place::Waiting;
        let queue = self.queues.entry(Self::queue_of(&known.entry)).or_default();
        if at_head { queue.push_front(id.to_owned()) } else { queue.push_back(id.to_owned()) }
    }

    /// Ends an action, with an outcome if somebody wants it.
    pub(super) fn end(&mut self, id: &str) {
        let known = self.known.get_mut(id).expect("it is known");
        known.place = Place::Ended;
        if known.entry.outcome && !known.malformed {
            self.outbox.insert(id.to_owned());
        }
    }

    /// Ends an action as a dead letter.
    pub(super) fn bury(&mut self, id: &str) {
        self.end(id);
        self.dead += 1;
    }

    /// Ends a waiting action that is spent. A cancelled one and one whose budget is over are no dead letters.
    pub(super) fn end_spent(&mut self, id: &str) {
        let known = &self.known[id];
        if known.malformed || (!known.flagged && known.limits.is_none()) { self.bury(id) } else { self.end(id) }
    }

    /// What the scripts that let time act do first.
    pub(super) fn let_time_act(&mut self) {
        let now = self.now;
        let mut due: Vec<(u64, String)> = Vec::new();
        let mut lost: Vec<(u64, String)> = Vec::new();
        for (id, known) in &self.known {
            match known.place {
                Place::Delayed { until } if until <= now => due.push((until, id.clone())),
                Place::Leased { until, token } if until <= now => lost.push((until, format!("{id}:{token}"))),
                _ => {}
            }
        }
        due.sort();
        for (_, id) in due {
            if self.known[&id].malformed {
                self.bury(&id);
            } else {
                let again = self.known[&id].limits.is_some();
                self.enqueue(&id, again);
            }
        }
        lost.sort();
        for (_, member) in lost {
            self.crash(member.split(':').next().expect("it has an id"));
        }
    }

    /// A delivery ended without ending the action: deadline and first claim are fixed from now on.
    pub(super) fn remember(&mut self, id: &str) -> (u64, u64) {
        let known = self.get(id);
        let Place::Leased { token, .. } = known.place else { panic!("{id} is not leased") };
        let first = token / 1000;
        let fresh = (known.entry.budget.map_or(0, |budget| first + millis(budget)), first);
        *known.limits.get_or_insert(fresh)
    }

    pub(super) fn crash(&mut self, id: &str) {
        let (deadline, _) = self.remember(id);
        let now = self.now;
        let known = self.get(id);
        known.crashes += 1;
        if known.flagged || (deadline > 0 && now >= deadline) {
            self.end(id);
        } else if known.crashes >= MAX_CRASHES {
            self.bury(id);
        } else if known.crashes == 1 {
            self.enqueue(id, true);
        } else {
            known.place = Place::Delayed { until: now + CRASH_DELAY * 2_u64.pow(known.crashes - 2) };
        }
    }

    /// Whether a waiting action ends instead of being leased.
    pub(super) fn is_spent(&self, id: &str) -> bool {
        let known = &self.known[id];
        known.malformed
            || known.flagged
            || known.limits.map_or(self.now >= known.wait_until, |(deadline, _)| deadline > 0 && self.now >= deadline)
    }

    /// Why a waiting action must not be leased now.
    pub(super) fn held_back(&self, id: &str) -> Option<&'static str> {
        let (known, rules) = (&self.known[id], &self.rules);
        let tenant = &known.entry.tenant;
        let cap = rules.caps.get(tenant).copied().unwrap_or(rules.cap);
        if rules.paused || rules.paused_tiers.contains(known.entry.lane.as_str()) {
            Some("its tier is paused")
        } else if known.is_callback() {
            None
        } else if rules.paused_tenants.contains(tenant) {
            Some("its tenant is paused")
        } else if cap > 0 && self.held(tenant) >= cap {
            Some("its tenant has as many leases as it may")
        } else if known.entry.ordered && self.has_holder(&Self::queue_of(&known.entry)) {
            Some("another one of its queue runs")
        } else {
            None
        }
    }

    /// Whether an action of the queue runs, or is to be tried again.
    fn has_holder(&self, queue: &Queue) -> bool {
        self.known.values().filter(|known| Self::queue_of(&known.entry) == *queue).any(|known| match known.place {
            Place::Leased { .. } => true,
            Place::Delayed { .. } => known.limits.is_some(),
            _ => false,
        })
    }

    /// Leases of a tenant, callbacks not counted.
    pub(super) fn held(&self, tenant: &str) -> u64 {
        let leased = |known: &&Known| matches!(known.place, Place::Leased { .. }) && !known.is_callback();
        self.known.values().filter(leased).filter(|known| known.entry.tenant == tenant).count() as u64
    }

    /// Waiting actions that match.
    pub(super) fn waiting_of(&self, is: impl Fn(&Entry) -> bool) -> u64 {
        self.known.values().filter(|known| known.place == Place::Waiting && is(&known.entry)).count() as u64
    }

    pub(super) fn waiting(&self) -> Vec<String> {
        self.known.iter().filter(|(_, known)| known.place == Place::Waiting).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn count(&self, is: impl Fn(&Place) -> bool) -> usize {
        self.known.values().filter(|known| is(&known.place)).count()
    }

    /// When time will do something by itself.
    pub(super) fn next_moment(&self) -> Option<u64> {
        let moment = |known: &Known| match known.place {
            Place::Delayed { until } | Place::Leased { until, .. } => Some(until),
            _ => None,
        };
        self.known.values().filter_map(moment).min()
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("it is short")
}
