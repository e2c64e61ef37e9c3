//! The model and the scripts, side by side.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use action::Tier;
use proptest::sample::Index;
use queue::Error;
use queue::engine::{Claimed, Engine, Entry, Lane, Root, Settle, Settled};

use super::plain::{Known, Model, Place, millis};
use super::step::{Fresh, Step};
use super::verb::Verb;
use super::{LANES, LEASE, MAX_CRASHES};

/// The model and the scripts, side by side.
pub(super) struct Pair<'a> {
    pub(super) model: Model,
    pub(super) engine: &'a Engine,
    pub(super) redis: &'a broker::Redis,
}

type Numbers<N> = HashMap<String, N>;
type Answer = (Numbers<String>, Numbers<u64>, Numbers<u64>, usize, usize, usize, usize, Vec<Option<Vec<u8>>>);

/// What a partition shows of itself.
struct Seen {
    /// Bodies that are gone of those that were asked for.
    gone: Vec<String>,
    waiting: HashMap<String, i64>,
    by_tenant: HashMap<String, u64>,
    leases_of: HashMap<String, u64>,
    leases: usize,
    delayed: usize,
    dead: usize,
    tokens: usize,
}

impl Pair<'_> {
    pub(super) async fn step(&mut self, step: Step) {
        match step {
            Step::Forward(ms) => self.model.now += ms,
            Step::Back(ms) => self.model.now -= ms,
            Step::Submit(fresh) => self.submit(fresh).await,
            Step::SubmitAgain(at) => self.submit_again(at).await,
            Step::Claim(most) => self.claim(most).await,
            Step::Done(at) => self.settle(at, Verb::Done).await,
            Step::Retry(at, delay) => self.settle(at, Verb::Retry(delay)).await,
            Step::Release(at) => self.settle(at, Verb::Release).await,
            Step::Extend(at) => self.extend(at).await,
            Step::Cancel(at) => self.cancel(at).await,
            Step::Tick => self.tick().await,
            Step::Relay => self.relay().await,
            Step::Pause(what, on) => self.pause(what, on).await,
            Step::Limit(which, value) => self.limit(which, value).await,
            Step::Purge(tier, tenant, context) => self.purge(tier, tenant, context).await,
            Step::Replay(at) => self.replay(at).await,
            Step::Repair => self.engine.repair(self.model.now).await.unwrap(),
            Step::Malform(at) => self.malform(at).await,
        }
        self.compare().await;
    }

    /// Everything that can be counted is what the model says.
    async fn compare(&self) {
        let (seen, model) = (self.look(&[]).await, &self.model);
        assert_eq!(seen.leases, model.count(|place| matches!(place, Place::Leased { .. })), "leases");
        assert_eq!(seen.delayed, model.count(|place| matches!(place, Place::Delayed { .. })), "delayed");
        assert_eq!(seen.dead, model.dead, "dead letters");
        for lane in LANES {
            let waiting = model.waiting_of(|entry| entry.lane.as_str() == lane);
            assert_eq!(seen.waiting.get(lane).copied().unwrap_or(0), i64::try_from(waiting).unwrap(), "{lane}");
        }
        for tenant in (0..3).map(|tenant| format!("tenant-{tenant}")) {
            let waiting = model.waiting_of(|entry| entry.tenant == tenant && entry.lane != Lane::Callbacks);
            assert_eq!(seen.by_tenant.get(&tenant).copied().unwrap_or(0), waiting, "waiting of {tenant}");
            assert_eq!(seen.leases_of.get(&tenant).copied().unwrap_or(0), model.held(&tenant), "leases of {tenant}");
        }
        if model.waiting().iter().any(|id| model.held_back(id).is_none()) {
            assert_eq!(seen.tokens, 1, "work waits, and nobody is woken");
        }
    }

    async fn look(&self, bodies: &[String]) -> Seen {
        let tag = self.engine.tag();
        let mut pipeline = redis::pipe();
        for hash in ["n", "w", "inf"] {
            pipeline.hgetall(format!("{tag}{hash}"));
        }
        pipeline.zcard(format!("{tag}lease")).zcard(format!("{tag}d"));
        pipeline.xlen(format!("{tag}dead")).llen(format!("{tag}wake"));
        let keys: Vec<String> = bodies.iter().map(|id| format!("{tag}b:{id}")).collect();
        // An empty list of keys is no command.
        pipeline.cmd("MGET").arg(format!("{tag}none")).arg(keys);
        let (numbers, by_tenant, leases_of, leases, delayed, dead, tokens, found): Answer =
            self.redis.pipeline(&pipeline).await.unwrap();
        let gone =
            bodies.iter().zip(&found[1..]).filter(|(_, body)| body.is_none()).map(|(id, _)| id.clone()).collect();
        let waiting = numbers.into_iter().filter_map(|(lane, number)| Some((lane, number.parse().ok()?))).collect();
        Seen { gone, waiting, by_tenant, leases_of, leases, delayed, dead, tokens }
    }

    async fn submit(&mut self, fresh: Fresh) {
        let entry = self.entry(&fresh);
        self.model.submits += 1;
        let refused = self.refusal(&entry).await;
        let placed = self.engine.submit(self.model.now, std::slice::from_ref(&entry)).await.unwrap().remove(0);
        let keyed = entry.key.clone().map(|(key, _)| (entry.tenant.clone(), key));
        if let Some(known) = keyed.as_ref().and_then(|keyed| self.model.keys.get(keyed)) {
            let placed = placed.unwrap();
            assert_eq!((placed.new, &placed.id), (false, known), "a known key");
            return;
        }
        if let Some(what) = refused {
            let told = matches!(&placed, Err(Error::Full { what: told, .. }) if *told == what);
            assert!(told, "{what} is full, but {placed:?}");
            return;
        }
        assert!(placed.unwrap().new);
        let (id, now) = (entry.id.clone(), self.model.now + fresh.delay.unwrap_or(0));
        let known = Known {
            place: Place::Delayed { until: now },
            wait_until: entry.patience.map_or(u64::MAX, |patience| now + millis(patience)),
            failures: 0,
            crashes: 0,
            limits: None,
            flagged: false,
            malformed: false,
            entry,
        };
        self.model.known.insert(id.clone(), known);
        if let Some(keyed) = keyed {
            self.model.keys.insert(keyed, id.clone());
        }
        if fresh.delay.is_none() {
            self.model.enqueue(&id, false);
        }
    }

    fn entry(&self, fresh: &Fresh) -> Entry {
        let callbacks = fresh.tier == 4;
        let real = Tier::ALL[fresh.tier % 4];
        let tenant = format!("tenant-{}", fresh.tenant);
        let ms = |ms| Some(Duration::from_millis(ms));
        Entry {
            id: format!("action-{:03}", self.model.submits),
            tier: real,
            middle: if callbacks { tenant.clone() } else { format!("agent-{}", fresh.context) },
            lane: if callbacks { Lane::Callbacks } else { Lane::Tier(real) },
            patience: ms(fresh.patience).filter(|_| !callbacks),
            within: None,
            budget: ms(fresh.budget).filter(|_| !callbacks),
            max_attempts: 5,
            max_crashes: MAX_CRASHES,
            root: (fresh.root && !callbacks).then(|| Root { kind: "execution.agent_run".into(), ..Root::default() }),
            outcome: !callbacks,
            dedup: None,
            delay: fresh.delay.and_then(ms),
            key: fresh.key.map(|key| (format!("{tenant}-{key}"), Duration::from_hours(1))),
            ordered: fresh.context == 2 && !callbacks,
            payload: b"payload".to_vec(),
            tenant,
        }
    }

    /// Returns what is full for a new action.
    async fn refusal(&self, entry: &Entry) -> Option<&'static str> {
        let (model, rules) = (&self.model, &self.model.rules);
        if entry.lane == Lane::Callbacks {
            return None;
        }
        let reached = |limit: u64, is: u64| limit > 0 && is >= limit;
        let tier = rules.tier_depths.get(entry.lane.as_str()).copied().unwrap_or(0);
        if reached(tier, model.waiting_of(|other| other.lane == entry.lane)) {
            return Some("the tier");
        }
        if entry.delay.is_some() {
            return None;
        }
        let waiting = model.waiting_of(|other| other.tenant == entry.tenant && other.lane != Lane::Callbacks);
        if reached(rules.tenant_depth, waiting) {
            return Some("the tenant");
        }
        // Ids of what was cancelled count until a claim meets them.
        let (tenant, middle, lane) = Model::queue_of(entry);
        let list = format!("{}q:{tenant}:execution:{middle}:{lane}", self.engine.tag());
        let length: u64 = self.redis.query(&redis::Cmd::llen(list)).await.unwrap();
        assert!(length >= model.waiting_of(|other| Model::queue_of(other) == Model::queue_of(entry)));
        reached(rules.queue_depth, length).then_some("the queue")
    }

    async fn submit_again(&mut self, at: Index) {
        let Some(id) = self.pick(at) else { return };
        let known = self.model.known[&id].clone();
        // Without a record nothing of an ended action is left to recognise it by.
        if known.place == Place::Ended && known.entry.root.is_none() {
            return;
        }
        let placed = self.engine.submit(self.model.now, &[known.entry]).await.unwrap();
        assert!(!placed[0].as_ref().unwrap().new, "{id} was taken twice");
    }

    async fn claim(&mut self, most: usize) {
        let claimed = self.engine.claim(self.model.now, most).await.unwrap();
        self.model.let_time_act();
        let last_token = self.model.last_token;
        for leased in &claimed.leased {
            assert!(leased.token > last_token, "tokens grow");
            self.lease(leased);
        }
        self.sync_spent(&claimed, most).await;
        if let Some(next) = self.model.next_moment() {
            assert!((1..=next).contains(&claimed.next), "{} is not told: {}", next, claimed.next);
        }
    }

    /// One lease of a claim: it must be the next of its queue that is not spent, and tell the truth.
    fn lease(&mut self, leased: &queue::engine::Leased) {
        let model = &mut self.model;
        let (id, now) = (&leased.id, model.now);
        let known = model.known[id].clone();
        assert_eq!(known.place, Place::Waiting, "{id}");
        assert!(!model.is_spent(id), "{id} should have ended instead");
        assert_eq!(model.held_back(id), None, "{id} was leased");
        let key = Model::queue_of(&known.entry);
        loop {
            let front = model.queues.get_mut(&key).and_then(VecDeque::pop_front).expect("it stands in its queue");
            if front == *id {
                break;
            }
            if model.known[&front].place == Place::Waiting {
                assert!(model.is_spent(&front), "{front} stands before {id}");
                model.end_spent(&front);
            }
        }
        assert_eq!(leased.attempt, known.failures + known.crashes + 1);
        let fresh = (known.entry.budget.map_or(0, |budget| now + millis(budget)), now);
        assert_eq!((leased.deadline, leased.first_claim), known.limits.unwrap_or(fresh));
        model.last_token = leased.token;
        model.deliveries.push((id.clone(), leased.token));
        let place = Place::Leased { token: leased.token, until: now + LEASE };
        model.get(id).place = place;
    }

    /// A claim or tick may or may not have met spent actions: whichever has ended must have been spent. And when less than
    /// asked was leased, nothing is left that could have been.
    async fn sync_spent(&mut self, claimed: &Claimed, most: usize) {
        let waiting = self.model.waiting();
        let gone = self.look(&waiting).await.gone;
        for id in gone {
            assert!(self.model.is_spent(&id), "{id} was lost");
            self.model.end_spent(&id);
        }
        if claimed.leased.len() < most {
            let left = self.model.waiting().into_iter().find(|id| self.model.held_back(id).is_none());
            assert_eq!(left, None, "left over");
        }
    }

    async fn tick(&mut self) {
        self.engine.tick(self.model.now).await.unwrap();
        self.model.let_time_act();
        let nothing = Claimed { now: 0, next: 0, leased: Vec::new() };
        self.sync_spent(&nothing, 0).await;
    }

    /// Every outcome is handed out until it was handed over, and never after.
    async fn relay(&mut self) {
        let found = self.engine.sweep(self.model.now + 10_000, Duration::ZERO, 1000).await.unwrap();
        let mut ids: Vec<String> = found.into_iter().map(|(id, _)| id).collect();
        ids.sort();
        assert_eq!(ids, self.model.outbox.iter().cloned().collect::<Vec<_>>(), "outcomes");
        let items: Vec<Settle> = ids.iter().map(|id| Settle::Relayed { id: id.clone() }).collect();
        if !items.is_empty() {
            self.engine.settle(self.model.now, &items).await.unwrap();
        }
        self.model.outbox.clear();
    }

    /// Goes on until everything has ended: nothing may be stuck, nothing lost.
    pub(super) async fn drain(&mut self) {
        for which in 0..8 {
            self.pause(which, false).await;
            self.limit(which, 0).await;
        }
        for _ in 0..80 {
            if self.model.count(|place| *place != Place::Ended) == 0 {
                break;
            }
            self.model.now += 30_000;
            let claimed = self.engine.claim(self.model.now, 64).await.unwrap();
            self.model.let_time_act();
            for leased in &claimed.leased {
                self.lease(leased);
            }
            self.sync_spent(&claimed, 64).await;
            for leased in &claimed.leased {
                let item = Verb::Done.item(&leased.id, leased.token, &self.model.known[&leased.id].entry);
                assert_eq!(self.engine.settle(self.model.now, &[item]).await.unwrap(), [Settled::Ok]);
                self.model.end(&leased.id);
            }
        }
        assert_eq!(self.model.count(|place| *place != Place::Ended), 0, "something is stuck");
        self.relay().await;
        self.compare().await;
        self.check().await;
    }

    pub(super) async fn check(&self) {
        assert_eq!(self.engine.check().await.unwrap(), Vec::<String>::new());
    }

    pub(super) fn pick(&self, at: Index) -> Option<String> {
        let ids: Vec<&String> = self.model.known.keys().collect();
        (!ids.is_empty()).then(|| (*at.get(&ids)).clone())
    }

    pub(super) fn delivery(&self, at: Index) -> Option<(String, u64)> {
        let all = &self.model.deliveries;
        (!all.is_empty()).then(|| at.get(all).clone())
    }
}
