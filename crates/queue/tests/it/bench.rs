//! One partition under a clock of the test's own.

use std::sync::Arc;
use std::time::Duration;

use action::{Domain, Tier};
use queue::Config;
use queue::engine::{Change, End, Engine, Entry, Header, Lane, Leased, Root, Settle, Settled};

/// Some moment; every test counts from here.
pub(crate) const T0: u64 = 1_700_000_000_000;
pub(crate) const KEPT: u64 = 24 * 3600 * 1000;

pub(crate) struct Bench {
    pub(crate) redis: testkit::Redis,
    pub(crate) engine: Engine,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        let redis = testkit::Redis::start().await;
        let connection = broker::Redis::connect(&redis.url()).await.unwrap();
        let engine = Engine::new(connection, Domain::Execution, 0, Arc::new(config));
        Self { redis, engine }
    }

    pub(crate) async fn put(&self, now: u64, entry: Entry) {
        assert!(self.engine.submit(now, &[entry]).await.unwrap().remove(0).unwrap().new);
    }

    pub(crate) async fn claim(&self, now: u64, most: usize) -> Vec<Leased> {
        self.engine.claim(now, most).await.unwrap().leased
    }

    pub(crate) async fn ids(&self, now: u64, most: usize) -> Vec<String> {
        self.claim(now, most).await.into_iter().map(|leased| leased.id).collect()
    }

    pub(crate) async fn settle(&self, now: u64, item: Settle) -> Settled {
        self.engine.settle(now, &[item]).await.unwrap()[0]
    }

    /// Puts many in one step.
    pub(crate) async fn fill(&self, now: u64, entries: Vec<Entry>) {
        for placed in self.engine.submit(now, &entries).await.unwrap() {
            assert!(placed.unwrap().new);
        }
    }

    /// Sets fields of `cfg`, as operators do.
    pub(crate) async fn set(&self, fields: &[(&str, &str)]) {
        let changes: Vec<Change> =
            fields.iter().map(|(field, value)| ("cfg", (*field).to_owned(), (*value).to_owned())).collect();
        self.engine.control(&changes).await.unwrap();
    }

    pub(crate) async fn sound(&self) {
        assert_eq!(self.engine.check().await.unwrap(), Vec::<String>::new());
    }
}

pub(crate) fn entry(id: &str, tenant: &str, context: &str, tier: Tier) -> Entry {
    Entry {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        tier,
        middle: context.to_owned(),
        lane: Lane::Tier(tier),
        patience: Some(Duration::from_mins(50)),
        within: None,
        budget: Some(Duration::from_mins(5)),
        max_attempts: 5,
        max_crashes: 3,
        root: Some(Root { kind: "execution.agent_run".to_owned(), ..Root::default() }),
        outcome: true,
        dedup: None,
        delay: None,
        key: None,
        ordered: false,
        payload: b"payload".to_vec(),
    }
}

pub(crate) fn done(leased: &Leased) -> Settle {
    let (header, _) = Header::split(&leased.body).unwrap();
    let end = End { outcome: b"Ix\0".to_vec(), attempts: leased.attempt, ..End::of(&header, "completed") };
    Settle::Done { id: leased.id.clone(), token: leased.token, end: Box::new(end) }
}

pub(crate) fn retry(leased: &Leased, delay: u64) -> Settle {
    let (id, token) = (leased.id.clone(), leased.token);
    Settle::Retry { id, token, delay: Duration::from_millis(delay), error: Vec::new(), events: Vec::new() }
}

/// An outcome on its way to the domain.
pub(crate) fn callback(id: &str, tenant: &str, tier: Tier) -> Entry {
    Entry {
        lane: Lane::Callbacks,
        root: None,
        outcome: false,
        patience: None,
        budget: None,
        ..entry(id, tenant, tenant, tier)
    }
}
