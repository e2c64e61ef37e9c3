//! What workers and callers do to deliveries and actions.

use proptest::sample::Index;
use queue::engine::{Cancelled, Extended, Settled};

use super::LEASE;
use super::pair::Pair;
use super::plain::Place;
use super::verb::Verb;

impl Pair<'_> {
    pub(super) async fn settle(&mut self, at: Index, verb: Verb) {
        let Some((id, token)) = self.delivery(at) else { return };
        let place = self.model.known[&id].place;
        let held = matches!(place, Place::Leased { token: holder, .. } if holder == token);
        let item = verb.item(&id, token, &self.model.known[&id].entry);
        let settled = self.engine.settle(self.model.now, &[item]).await.unwrap()[0];
        let expected = match place {
            _ if held => Settled::Ok,
            Place::Ended => Settled::Gone,
            _ => Settled::Stale,
        };
        assert_eq!(settled, expected, "{id}:{token}");
        if !held {
            return;
        }
        let now = self.model.now;
        if !matches!(verb, Verb::Done) {
            self.model.remember(&id);
        }
        let known = self.model.get(&id);
        match verb {
            Verb::Done => self.model.end(&id),
            Verb::Retry(_) | Verb::Release if known.flagged => self.model.end(&id),
            Verb::Release => self.model.enqueue(&id, true),
            Verb::Retry(delay) => {
                known.failures += 1;
                known.place = Place::Delayed { until: now + delay };
            }
        }
    }

    pub(super) async fn extend(&mut self, at: Index) {
        let Some((id, token)) = self.delivery(at) else { return };
        let extended = self.engine.extend(self.model.now, &[(id.clone(), token)]).await.unwrap().remove(0);
        let now = self.model.now;
        let known = self.model.get(&id);
        match &mut known.place {
            Place::Leased { token: holder, until } if *holder == token => {
                *until = (*until).max(now + LEASE);
                let cancelled = matches!(extended, Extended::Cancelled(_));
                assert_eq!((cancelled, extended == Extended::Lost), (known.flagged, false));
            }
            _ => assert_eq!(extended, Extended::Lost),
        }
    }

    pub(super) async fn cancel(&mut self, at: Index) {
        let Some(id) = self.pick(at) else { return };
        let known = self.model.known[&id].clone();
        let is_task = known.entry.root.is_some();
        let tenant = is_task.then_some(known.entry.tenant.as_str());
        let answer = self.engine.cancel(self.model.now, &id, tenant, "a reason").await.unwrap();
        let expected = match (known.place, is_task) {
            // Nobody can read where it belongs; the next claim buries it.
            _ if known.malformed && known.place != Place::Ended => {
                if is_task {
                    Cancelled::Finished
                } else {
                    Cancelled::Unknown
                }
            }
            (Place::Ended, true) => Cancelled::Finished,
            (Place::Ended, false) => Cancelled::Unknown,
            (Place::Delayed { .. }, _) | (Place::Waiting, true) => Cancelled::Done,
            (Place::Leased { .. }, _) | (Place::Waiting, false) => Cancelled::Flagged,
        };
        assert_eq!(answer, expected, "{id} {:?}", known.place);
        match answer {
            Cancelled::Done => self.model.end(&id),
            Cancelled::Flagged => self.model.get(&id).flagged = true,
            Cancelled::Unknown | Cancelled::Finished => {}
        }
        if is_task {
            let other = self.engine.cancel(self.model.now, &id, Some("another"), "").await.unwrap();
            assert_eq!(other, Cancelled::Unknown);
        }
    }
}
