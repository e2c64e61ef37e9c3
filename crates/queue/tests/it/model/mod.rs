//! Random interleavings of everything that can happen to actions, against a plain model, under a clock of the test's own.

mod plain;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use action::{Domain, Tier};
use plain::{Known, Model, Place, millis};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config as Cases, TestRunner};
use queue::Config;
use queue::engine::{Cancelled, Claimed, End, Engine, Entry, Extended, Lane, Root, Settle, Settled};

const T0: u64 = 1_700_000_000_000;
const LEASE: u64 = 10_000;
const CRASH_DELAY: u64 = 1_000;
const MAX_CRASHES: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Submit { tenant: usize, context: usize, tier: usize, root: bool, patience: u64, budget: u64 },
    SubmitAgain(Index),
    Claim(usize),
    Done(Index),
    Retry(Index, u64),
    Release(Index),
    Extend(Index),
    Cancel(Index),
    Tick,
    Relay,
    Forward(u64),
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 0..3_usize, 0..5_usize, any::<bool>(), 1_000..60_000_u64, 5_000..90_000_u64).prop_map(
            |(tenant, context, tier, root, patience, budget)| Step::Submit { tenant, context, tier, root, patience, budget }
        ),
        1 => any::<Index>().prop_map(Step::SubmitAgain),
        5 => (0..6_usize).prop_map(Step::Claim),
        3 => any::<Index>().prop_map(Step::Done),
        2 => (any::<Index>(), 0..20_000_u64).prop_map(|(at, delay)| Step::Retry(at, delay)),
        1 => any::<Index>().prop_map(Step::Release),
        2 => any::<Index>().prop_map(Step::Extend),
        2 => any::<Index>().prop_map(Step::Cancel),
        1 => Just(Step::Tick),
        1 => Just(Step::Relay),
        4 => (1..15_000_u64).prop_map(Step::Forward),
        1 => (1..3_000_u64).prop_map(Step::Back),
    ]
}

/// The model and the scripts, side by side.
struct Pair<'a> {
    model: Model,
    engine: &'a Engine,
    redis: &'a testkit::Redis,
}

impl Pair<'_> {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Forward(ms) => self.model.now += ms,
            Step::Back(ms) => self.model.now -= ms,
            Step::Submit { .. } => self.submit(step).await,
            Step::SubmitAgain(at) => self.submit_again(at).await,
            Step::Claim(most) => self.claim(most).await,
            Step::Done(at) => self.settle(at, Verb::Done).await,
            Step::Retry(at, delay) => self.settle(at, Verb::Retry(delay)).await,
            Step::Release(at) => self.settle(at, Verb::Release).await,
            Step::Extend(at) => self.extend(at).await,
            Step::Cancel(at) => self.cancel(at).await,
            Step::Tick => self.tick().await,
            Step::Relay => self.relay().await,
        }
        assert_eq!(self.engine.check().await.unwrap(), Vec::<String>::new());
        let number = |words: &[&str]| self.redis.command(words).parse::<usize>().unwrap_or(0);
        let tag = self.engine.tag();
        let leased = self.model.count(|place| matches!(place, Place::Leased { .. }));
        let delayed = self.model.count(|place| matches!(place, Place::Delayed { .. }));
        assert_eq!(number(&["ZCARD", &format!("{tag}lease")]), leased, "leases");
        assert_eq!(number(&["ZCARD", &format!("{tag}d")]), delayed, "delayed");
    }

    async fn submit(&mut self, step: Step) {
        let Step::Submit { tenant, context, tier, root, patience, budget } = step else { return };
        let callbacks = tier == 4;
        let real = Tier::ALL[tier % 4];
        let tenant = format!("tenant-{tenant}");
        let patience = Some(Duration::from_millis(patience)).filter(|_| !callbacks);
        let entry = Entry {
            id: format!("action-{:03}", self.model.known.len()),
            tier: real,
            middle: if callbacks { tenant.clone() } else { format!("agent-{context}") },
            tenant,
            lane: if callbacks { Lane::Callbacks } else { Lane::Tier(real) },
            patience,
            within: None,
            budget: Some(Duration::from_millis(budget)).filter(|_| !callbacks),
            max_attempts: 5,
            max_crashes: MAX_CRASHES,
            root: (root && !callbacks).then(|| Root { kind: "execution.agent_run".into(), session: String::new() }),
            outcome: !callbacks,
            dedup: None,
            payload: b"payload".to_vec(),
        };
        let placed = self.engine.submit(self.model.now, std::slice::from_ref(&entry)).await.unwrap();
        assert!(placed[0].new);
        let id = entry.id.clone();
        let known = Known {
            place: Place::Ended,
            wait_until: patience.map_or(u64::MAX, |patience| self.model.now + millis(patience)),
            failures: 0,
            crashes: 0,
            limits: None,
            flagged: false,
            relayed: false,
            entry,
        };
        self.model.known.insert(id.clone(), known);
        self.model.enqueue(&id, false);
    }

    async fn submit_again(&mut self, at: Index) {
        let Some(id) = self.pick(at) else { return };
        let known = self.model.known[&id].clone();
        // Without a record nothing of an ended action is left to recognise it by.
        if known.place == Place::Ended && known.entry.root.is_none() {
            return;
        }
        let placed = self.engine.submit(self.model.now, &[known.entry]).await.unwrap();
        assert!(!placed[0].new, "{id} was taken twice");
    }

    async fn claim(&mut self, most: usize) {
        let claimed = self.engine.claim(self.model.now, most).await.unwrap();
        self.model.let_time_act();
        for leased in &claimed.leased {
            self.lease(leased);
        }
        self.sync_spent(&claimed, most);
    }

    /// One lease of a claim: it must be the next of its queue that is not spent, and tell the truth.
    fn lease(&mut self, leased: &queue::engine::Leased) {
        let model = &mut self.model;
        let (id, now) = (&leased.id, model.now);
        let known = model.known[id].clone();
        assert_eq!(known.place, Place::Waiting, "{id}");
        assert!(!model.is_spent(id), "{id} should have ended instead");
        let key = Model::queue_of(&known.entry);
        loop {
            let front = model.queues.get_mut(&key).and_then(VecDeque::pop_front).expect("it stands in its queue");
            if front == *id {
                break;
            }
            if model.known[&front].place == Place::Waiting {
                assert!(model.is_spent(&front), "{front} stands before {id}");
                model.end(&front);
            }
        }
        assert_eq!(leased.attempt, known.failures + known.crashes + 1);
        assert!(leased.token > model.last_token, "tokens grow");
        let fresh = (known.entry.budget.map_or(0, |budget| now + millis(budget)), now);
        assert_eq!((leased.deadline, leased.first_claim), known.limits.unwrap_or(fresh));
        model.last_token = leased.token;
        model.deliveries.push((id.clone(), leased.token));
        let place = Place::Leased { token: leased.token, until: now + LEASE };
        model.known.get_mut(id).expect("it is known").place = place;
    }

    /// A claim or tick may or may not have met spent actions: whichever has ended must have been spent. And when less than
    /// asked was leased, nothing is left that could have been.
    fn sync_spent(&mut self, claimed: &Claimed, most: usize) {
        for id in self.model.waiting() {
            let gone = self.redis.command(&["EXISTS", &format!("{}b:{id}", self.engine.tag())]) == "0";
            if gone {
                assert!(self.model.is_spent(&id), "{id} was lost");
                self.model.end(&id);
            } else {
                assert!(claimed.leased.len() == most, "{id} was left over");
            }
        }
    }

    async fn settle(&mut self, at: Index, verb: Verb) {
        let Some((id, token)) = self.delivery(at) else { return };
        let place = self.model.known[&id].place;
        let held = matches!(place, Place::Leased { token: holder, .. } if holder == token);
        let item = verb.item(&id, token, self.model.known[&id].entry.outcome);
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
        let known = self.model.known.get_mut(&id).expect("it is known");
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

    async fn extend(&mut self, at: Index) {
        let Some((id, token)) = self.delivery(at) else { return };
        let extended = self.engine.extend(self.model.now, &[(id.clone(), token)]).await.unwrap().remove(0);
        let now = self.model.now;
        let known = self.model.known.get_mut(&id).expect("it is known");
        match &mut known.place {
            Place::Leased { token: holder, until } if *holder == token => {
                *until = (*until).max(now + LEASE);
                let cancelled = matches!(extended, Extended::Cancelled(_));
                assert_eq!((cancelled, extended == Extended::Lost), (known.flagged, false));
            }
            _ => assert_eq!(extended, Extended::Lost),
        }
    }

    async fn cancel(&mut self, at: Index) {
        let Some(id) = self.pick(at) else { return };
        let known = self.model.known[&id].clone();
        let is_task = known.entry.root.is_some();
        let tenant = is_task.then_some(known.entry.tenant.as_str());
        let answer = self.engine.cancel(self.model.now, &id, tenant, "a reason").await.unwrap();
        let expected = match (known.place, is_task) {
            (Place::Ended, true) => Cancelled::Finished,
            (Place::Ended, false) => Cancelled::Unknown,
            (Place::Delayed { .. }, _) | (Place::Waiting, true) => Cancelled::Done,
            (Place::Leased { .. }, _) | (Place::Waiting, false) => Cancelled::Flagged,
        };
        assert_eq!(answer, expected, "{id} {:?}", known.place);
        match answer {
            Cancelled::Done => self.model.end(&id),
            Cancelled::Flagged => self.model.known.get_mut(&id).expect("it is known").flagged = true,
            Cancelled::Unknown | Cancelled::Finished => {}
        }
        if is_task {
            let other = self.engine.cancel(self.model.now, &id, Some("another"), "").await.unwrap();
            assert_eq!(other, Cancelled::Unknown);
        }
    }

    async fn tick(&mut self) {
        self.engine.tick(self.model.now).await.unwrap();
        self.model.let_time_act();
        let nothing = Claimed { now: 0, next: 0, leased: Vec::new() };
        self.sync_spent(&nothing, 0);
    }

    /// Every outcome is handed out until it was handed over, and never after.
    async fn relay(&mut self) {
        let found = self.engine.sweep(self.model.now + 10_000, Duration::ZERO, 1000).await.unwrap();
        let mut expected: Vec<String> = Vec::new();
        for (id, known) in &self.model.known {
            if known.place == Place::Ended && known.entry.outcome && !known.relayed {
                expected.push(id.clone());
            }
        }
        let mut ids: Vec<String> = found.into_iter().map(|(id, _)| id).collect();
        ids.sort();
        assert_eq!(ids, expected, "outcomes");
        let items: Vec<Settle> = ids.iter().map(|id| Settle::Relayed { id: id.clone() }).collect();
        if !items.is_empty() {
            self.engine.settle(self.model.now, &items).await.unwrap();
        }
        for id in ids {
            self.model.known.get_mut(&id).expect("it is known").relayed = true;
        }
    }

    /// Goes on until everything has ended: nothing may be stuck, nothing lost.
    async fn drain(&mut self) {
        for _ in 0..40 {
            self.model.now += 30_000;
            let claimed = self.engine.claim(self.model.now, 64).await.unwrap();
            self.model.let_time_act();
            for leased in &claimed.leased {
                self.lease(leased);
            }
            self.sync_spent(&claimed, 64);
            for leased in &claimed.leased {
                let wanted = self.model.known[&leased.id].entry.outcome;
                let item = Verb::Done.item(&leased.id, leased.token, wanted);
                assert_eq!(self.engine.settle(self.model.now, &[item]).await.unwrap(), [Settled::Ok]);
                self.model.end(&leased.id);
            }
        }
        assert_eq!(self.model.count(|place| *place != Place::Ended), 0, "something is stuck");
        self.relay().await;
        assert_eq!(self.engine.check().await.unwrap(), Vec::<String>::new());
    }

    fn pick(&self, at: Index) -> Option<String> {
        let ids: Vec<&String> = self.model.known.keys().collect();
        (!ids.is_empty()).then(|| (*at.get(&ids)).clone())
    }

    fn delivery(&self, at: Index) -> Option<(String, u64)> {
        let all = &self.model.deliveries;
        (!all.is_empty()).then(|| at.get(all).clone())
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Done,
    Retry(u64),
    Release,
}

impl Verb {
    fn item(self, id: &str, token: u64, wanted: bool) -> Settle {
        let (id, events) = (id.to_owned(), Vec::new());
        match self {
            Self::Done => {
                let outcome = if wanted { b"Ix\0".to_vec() } else { Vec::new() };
                let end = Box::new(End { status: "completed", outcome, attempts: 1, ..End::default() });
                Settle::Done { id, token, end }
            }
            Self::Retry(delay) => {
                Settle::Retry { id, token, delay: Duration::from_millis(delay), error: Vec::new(), events }
            }
            Self::Release => Settle::Release { id, token, events },
        }
    }
}

/// How many cases are tried; more by `NOOBLE_CASES`.
fn cases() -> u32 {
    std::env::var("NOOBLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
}

#[test]
fn whatever_happens_the_scripts_do_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime.block_on(testkit::Redis::start());
    let connection = runtime.block_on(broker::Redis::connect(&redis.url())).unwrap();
    let engine = Engine::new(connection, Domain::Execution, 0, Arc::new(Config::default()));
    // While cases shrink, hundreds of panics would be printed; the last one is told below.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let config = Cases { cases: cases(), failure_persistence: None, max_shrink_iters: 2000, ..Cases::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..60), |steps| {
        redis.command(&["FLUSHALL"]);
        runtime.block_on(async {
            let mut pair = Pair { model: Model::new(), engine: &engine, redis: &redis };
            for step in steps {
                pair.step(step).await;
            }
            pair.drain().await;
        });
        Ok(())
    });
    std::panic::set_hook(hook);
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
