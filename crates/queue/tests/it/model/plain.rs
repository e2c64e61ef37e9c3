//! What actions do, in plain Rust.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use queue::engine::Entry;

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
    pub(super) relayed: bool,
}

pub(super) struct Model {
    pub(super) now: u64,
    pub(super) known: BTreeMap<String, Known>,
    /// Ids by queue, tombstones included.
    pub(super) queues: HashMap<(String, String, &'static str), VecDeque<String>>,
    /// Every delivery there ever was.
    pub(super) deliveries: Vec<(String, u64)>,
    pub(super) last_token: u64,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { now: T0, known: BTreeMap::new(), queues: HashMap::new(), deliveries: Vec::new(), last_token: 0 }
    }

    pub(super) fn queue_of(entry: &Entry) -> (String, String, &'static str) {
        (entry.tenant.clone(), entry.middle.clone(), entry.lane.as_str())
    }

    pub(super) fn enqueue(&mut self, id: &str, at_head: bool) {
        let known = self.known.get_mut(id).expect("it is known");
        known.place = Place::Waiting;
        let queue = self.queues.entry(Self::queue_of(&known.entry)).or_default();
        if at_head { queue.push_front(id.to_owned()) } else { queue.push_back(id.to_owned()) }
    }

    pub(super) fn end(&mut self, id: &str) {
        self.known.get_mut(id).expect("it is known").place = Place::Ended;
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
            self.enqueue(&id, true);
        }
        lost.sort();
        for (_, member) in lost {
            self.crash(member.split(':').next().expect("it has an id"));
        }
    }

    /// A delivery ended without ending the action: deadline and first claim are fixed from now on.
    pub(super) fn remember(&mut self, id: &str) -> (u64, u64) {
        let known = self.known.get_mut(id).expect("it is known");
        let Place::Leased { token, .. } = known.place else { panic!("{id} is not leased") };
        let first = token / 1000;
        let fresh = (known.entry.budget.map_or(0, |budget| first + millis(budget)), first);
        *known.limits.get_or_insert(fresh)
    }

    pub(super) fn crash(&mut self, id: &str) {
        let (deadline, _) = self.remember(id);
        let now = self.now;
        let known = self.known.get_mut(id).expect("it is known");
        known.crashes += 1;
        if known.flagged || (deadline > 0 && now >= deadline) || known.crashes >= MAX_CRASHES {
            self.end(id);
        } else if known.crashes == 1 {
            self.enqueue(id, true);
        } else {
            known.place = Place::Delayed { until: now + CRASH_DELAY * 2_u64.pow(known.crashes - 2) };
        }
    }

    /// Whether a waiting action ends instead of being leased.
    pub(super) fn is_spent(&self, id: &str) -> bool {
        let known = &self.known[id];
        known.flagged
            || known.limits.map_or(self.now >= known.wait_until, |(deadline, _)| deadline > 0 && self.now >= deadline)
    }

    pub(super) fn waiting(&self) -> Vec<String> {
        self.known.iter().filter(|(_, known)| known.place == Place::Waiting).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn count(&self, is: impl Fn(&Place) -> bool) -> usize {
        self.known.values().filter(|known| is(&known.place)).count()
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("it is short")
}
