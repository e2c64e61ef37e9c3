//! Requests of a tenant that ask at the same time.

use std::sync::Arc;
use std::time::Duration;

use action::{TaskId, Tier};
use futures::FutureExt as _;
use futures::future::join_all;
use proptest::prelude::*;
use quota::{Admitted, AgentLimits, Charge, Config, Error, Quota, Tiers, UsageKind, Window};

use crate::setup::{NOON, acme, at, calls, chat, left, quota};

/// What the requests of a crowd differ in.
#[derive(Clone, Debug)]
struct Asked {
    session: u8,
    /// Limit a minute of the agent's own.
    agent: Option<u32>,
    /// One of a few tasks, so that some come twice.
    task: Option<u8>,
    tokens: u64,
    search: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let agent = proptest::option::of(1..4_u32);
    let task = proptest::option::weighted(0.8, 0..12_u8);
    (0..3_u8, agent, task, 0..60_u64, any::<bool>()).prop_map(|(session, agent, task, tokens, search)| Asked {
        session,
        agent,
        task,
        tokens,
        search,
    })
}

impl Asked {
    fn charge(&self, tasks: &[TaskId]) -> Charge {
        let kind = if self.search { UsageKind::Query } else { UsageKind::Agent };
        let agent = self.agent.map(|per_minute| {
            let limits = AgentLimits { per_minute: Some(per_minute), ..AgentLimits::default() };
            ("helper".parse().expect("an agent"), limits)
        });
        Charge {
            session: Some(format!("session-{}", self.session).parse().expect("a session")),
            agent,
            task: self.task.map(|task| tasks[usize::from(task)]),
            tokens: self.tokens,
            ..Charge::new(acme(), Tier::Free, kind)
        }
    }
}

fn tight() -> Tiers {
    let mut tiers = Tiers::default();
    let limits = tiers.of_mut(Tier::Free);
    (limits.per_minute, limits.per_day, limits.per_session_hour) = (Some(12), Some(14), Some(6));
    (limits.concurrent_tasks, limits.tokens_per_minute, limits.tokens_per_day) = (Some(8), Some(300), Some(300));
    tiers
}

/// A process that remembers nothing.
fn process(redis: &broker::Redis) -> Quota {
    Quota::new(redis.clone(), Arc::new(tight()), Config::default()).at(at(NOON * 1000))
}

/// How the windows stand, and which of them refused.
type Told = (Vec<Window>, Option<&'static str>);

fn told(answers: Vec<Result<Admitted, Error>>) -> Vec<Told> {
    let one = |answer: Result<Admitted, Error>| match answer {
        Ok(admitted) => (admitted.windows, None),
        Err(Error::Exceeded(by)) => (by.windows, Some(by.window)),
        Err(error) => panic!("Redis decides: {error}"),
    };
    answers.into_iter().map(one).collect()
}

/// Everything that the server holds, but for how long.
fn holds(redis: &testkit::Redis) -> Vec<String> {
    let keys = redis.command(&["KEYS", "*"]);
    let mut held: Vec<_> = keys
        .lines()
        .map(|key| {
            let read: &[&str] = match redis.command(&["TYPE", key]).trim() {
                "hash" => &["HGETALL", key],
                "zset" => &["ZRANGE", key, "0", "-1", "WITHSCORES"],
                _ => &["GET", key],
            };
            let value = redis.command(read);
            let mut lines: Vec<_> = value.lines().collect();
            // A hash has no order.
            lines.sort_unstable();
            assert_ne!(redis.command(&["TTL", key]).trim(), "-1", "{key} ends some day");
            format!("{key}: {}", lines.join(" "))
        })
        .collect();
    held.sort_unstable();
    held
}

// `PROPTEST_CASES` makes it longer.
#[test]
fn a_crowd_is_decided_about_as_if_each_came_after_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let redis = runtime.block_on(testkit::Redis::start());
    let connection = runtime.block_on(broker::Redis::connect(&redis.url())).expect("the server is there");
    let tasks: Vec<_> = (0..12).map(|_| TaskId::new()).collect();
    let config = ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(crowd in proptest::collection::vec(asked(), 1..24))| {
        let charges: Vec<_> = crowd.iter().map(|asked| asked.charge(&tasks)).collect();
        redis.command(&["FLUSHALL"]);
        let one_by_one = runtime.block_on(async {
            let mut answers = Vec::new();
            for charge in &charges {
                answers.push(process(&connection).admit(charge.clone()).await);
            }
            answers
        });
        let held = holds(&redis);
        redis.command(&["FLUSHALL"]);
        let quota = process(&connection);
        let at_once = runtime.block_on(join_all(charges.iter().map(|charge| quota.admit(charge.clone()))));
        prop_assert_eq!(told(at_once), told(one_by_one));
        prop_assert_eq!(holds(&redis), held);
    });
}

#[tokio::test]
async fn a_crowd_costs_two_round_trips() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    quota.admit(chat(Tier::Professional)).await.expect("it knows the script");
    redis.command(&["CONFIG", "RESETSTAT"]);
    let answers = join_all((0..60).map(|_| quota.admit(chat(Tier::Professional)))).await;
    assert!(answers.iter().all(Result::is_ok));
    let asked = calls(&redis, "evalsha");
    assert_eq!(asked, 2, "the first asks at once, and all others together when it has its answer");
    let usage = quota.usage(&acme(), None).await.expect("Redis answers");
    assert_eq!(usage.counts["total_requests"], 61);
}

#[tokio::test]
async fn whoever_gives_up_takes_nobody_along() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await.at(at(NOON * 1000));
    quota.admit(chat(Tier::Professional)).await.expect("it knows the script");
    redis.command(&["CLIENT", "PAUSE", "300", "ALL"]);
    let mut first = Box::pin(quota.admit(chat(Tier::Professional)));
    assert!((&mut first).now_or_never().is_none(), "it is on its way");
    let mut second = Box::pin(quota.admit(chat(Tier::Professional)));
    assert!((&mut second).now_or_never().is_none(), "it gathers others behind it");
    let mut others: Vec<_> = (0..5).map(|_| Box::pin(quota.admit(chat(Tier::Professional)))).collect();
    for other in &mut others {
        assert!(other.now_or_never().is_none(), "it has joined");
    }
    drop((first, second));
    for answer in join_all(others).await {
        let windows = answer.expect("it is decided about").windows;
        assert!(left(&windows, "minute").is_some(), "by Redis");
    }
    assert_eq!(calls(&redis, "evalsha"), 3);
    let usage = quota.usage(&acme(), None).await.expect("Redis answers");
    assert_eq!(usage.counts["total_requests"], 7, "what was on its way is charged, and what was not is not");
    // Nothing holds up who comes later.
    let later = tokio::time::timeout(Duration::from_secs(5), quota.admit(chat(Tier::Professional))).await;
    later.expect("at once").expect("admitted");
}
