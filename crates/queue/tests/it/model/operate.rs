//! What operators do, and what they find.

use std::collections::HashMap;

use action::Tier;
use proptest::sample::Index;
use queue::engine::{Change, Purge};

use super::LANES;
use super::pair::Pair;
use super::plain::Place;

impl Pair<'_> {
    pub(super) async fn pause(&mut self, what: usize, on: bool) {
        let value = if on { "1" } else { "" }.to_owned();
        let rules = &mut self.model.rules;
        let change: Change = match what {
            0 => {
                rules.paused = on;
                ("cfg", "pause".to_owned(), value)
            }
            1..=4 => {
                let tier = LANES[what];
                if on {
                    rules.paused_tiers.insert(tier)
                } else {
                    rules.paused_tiers.remove(tier)
                };
                ("cfg", format!("pause:{tier}"), value)
            }
            _ => {
                let tenant = format!("tenant-{}", what - 5);
                if on {
                    rules.paused_tenants.insert(tenant.clone())
                } else {
                    rules.paused_tenants.remove(&tenant)
                };
                ("pt", tenant, value)
            }
        };
        self.engine.control(&[change]).await.unwrap();
    }

    pub(super) async fn limit(&mut self, which: usize, value: u64) {
        let text = |value: u64| if value == 0 { String::new() } else { value.to_string() };
        let rules = &mut self.model.rules;
        let mut changes: Vec<Change> = Vec::new();
        match which {
            0 => {
                rules.cap = value;
                changes.push(("cfg", "cap".to_owned(), text(value)));
            }
            1..=3 => {
                let tenant = format!("tenant-{}", which - 1);
                if value > 0 {
                    rules.caps.insert(tenant.clone(), value)
                } else {
                    rules.caps.remove(&tenant)
                };
                changes.push(("cap", tenant, text(value)));
            }
            4 => {
                rules.queue_depth = value;
                changes.push(("cfg", "depth:queue".to_owned(), text(value)));
            }
            5 => {
                rules.tenant_depth = value;
                changes.push(("cfg", "depth:tenant".to_owned(), text(value)));
            }
            6 => {
                rules.tier_depths.insert("free", value);
                changes.push(("cfg", "depth:free".to_owned(), text(value)));
            }
            _ => {
                // How work is shared must not change what becomes of it.
                let sharing = if value % 2 == 1 { "strict" } else { "weighted" };
                changes.push(("cfg", "sharing".to_owned(), sharing.to_owned()));
                changes.push(("cfg", "quantum".to_owned(), text(value)));
                changes.push(("cfg", "weight:free".to_owned(), text(value)));
            }
        }
        self.engine.control(&changes).await.unwrap();
    }

    pub(super) async fn purge(&mut self, tier: usize, tenant: usize, context: usize) {
        let tier = Tier::ALL.get(tier).copied();
        let tenant = if tenant < 3 { format!("tenant-{tenant}") } else { String::new() };
        let middle = if context < 3 { format!("agent-{context}") } else { String::new() };
        let purge = Purge { tier, tenant: &tenant, middle: &middle, reason: "enough" };
        let purged = self.engine.purge(self.model.now, &purge).await.unwrap();
        let mut expected = 0;
        let known: Vec<_> = self.model.known.iter().map(|(id, known)| (id.clone(), known.clone())).collect();
        for (id, known) in known {
            let meant = !known.is_callback()
                && tier.is_none_or(|tier| tier == known.entry.tier)
                && (tenant.is_empty() || tenant == known.entry.tenant)
                && (middle.is_empty() || middle == known.entry.middle);
            match known.place {
                Place::Waiting if meant && known.malformed => self.model.bury(&id),
                // Where it belongs nobody can read; it is buried when it is due.
                Place::Delayed { .. } if known.malformed => {}
                Place::Waiting | Place::Delayed { .. } if meant => {
                    self.model.end(&id);
                    expected += 1;
                }
                _ => {}
            }
        }
        assert_eq!(purged, expected, "purged");
    }

    /// Replays a dead letter; that of a malformed action, or of one that lives again, stays.
    pub(super) async fn replay(&mut self, at: Index) {
        let letters: Vec<(String, HashMap<String, Vec<u8>>)> = self
            .redis
            .query(redis::cmd("XRANGE").arg(format!("{}dead", self.engine.tag())).arg("-").arg("+"))
            .await
            .unwrap();
        if letters.is_empty() {
            return;
        }
        let (position, fields) = at.get(&letters);
        let text = |name: &str| String::from_utf8_lossy(&fields[name]).into_owned();
        let (id, why) = (text("id"), text("why"));
        let again = self.engine.replay(self.model.now, std::slice::from_ref(position)).await.unwrap()[0];
        assert_eq!(again, self.model.known[&id].place == Place::Ended && why != "malformed", "{id} {why}");
        if !again {
            return;
        }
        let now = self.model.now;
        let known = self.model.get(&id);
        (known.failures, known.crashes, known.limits) = (0, 0, None);
        (known.flagged, known.malformed) = (false, false);
        known.wait_until = known.entry.patience.map_or(u64::MAX, |patience| now + super::plain::millis(patience));
        self.model.dead -= 1;
        // Where it stood before it ended.
        self.model.queues.values_mut().for_each(|queue| queue.retain(|other| *other != id));
        self.model.enqueue(&id, false);
    }

    pub(super) async fn malform(&mut self, at: Index) {
        let Some(id) = self.pick(at) else { return };
        if !matches!(self.model.known[&id].place, Place::Waiting | Place::Delayed { .. }) {
            return;
        }
        let key = format!("{}b:{id}", self.engine.tag());
        self.redis.query::<()>(&redis::Cmd::set(key, "nobody can read this")).await.unwrap();
        self.model.get(&id).malformed = true;
    }
}
