//! What nobody should send, and what nobody should find in Redis: refused or buried, and work goes on.

use std::time::Duration;

use action::{Deadline, Domain, Status, Tier};
use fault::Fault as _;
use queue::engine::{End, Header, Lane, Settle, Settled};
use queue::{Error, Options, When};

use crate::bench::{Bench, T0, done, entry, retry};
use crate::setup::{PATIENCE, Setup, search, searcher, tenant};

const GARBAGE: &str = "nobody can read this";

fn garble(bench: &Bench, id: &str) {
    bench.redis.command(&["SET", &format!("{{nq:execution:0}}:b:{id}"), GARBAGE]);
}

/// The bytes lie in the dead letters, the task has failed, and nothing is left over.
fn is_buried(bench: &Bench, id: &str) {
    let letters = bench.redis.command(&["XRANGE", "{nq:execution:0}:dead", "-", "+"]);
    assert!(letters.contains(GARBAGE) && letters.contains("malformed"), "{letters}");
    let record = bench.redis.command(&["HMGET", &format!("{{nq:execution:0}}:t:{id}"), "status", "why"]);
    assert_eq!(record, "failed\nmalformed");
    assert_eq!(bench.redis.command(&["EXISTS", &format!("{{nq:execution:0}}:b:{id}")]), "0");
}

#[tokio::test]
async fn a_malformed_entry_that_waits_for_its_time_is_buried_when_it_comes() {
    let bench = Bench::start().await;
    let delay = Some(Duration::from_secs(5));
    bench.put(T0, queue::engine::Entry { delay, ..entry("a", "acme", "agent-1", Tier::Free) }).await;
    garble(&bench, "a");
    assert!(bench.claim(T0 + 5_000, 1).await.is_empty());
    is_buried(&bench, "a");
    bench.sound().await;
}

#[tokio::test]
async fn a_malformed_entry_holds_no_ordered_queue_back() {
    let bench = Bench::start().await;
    for id in ["a", "b"] {
        let ordered = queue::engine::Entry { ordered: true, ..entry(id, "acme", "agent-1", Tier::Free) };
        bench.put(T0, ordered).await;
    }
    let leased = bench.claim(T0, 5).await;
    assert_eq!(leased.len(), 1, "one at a time");
    assert_eq!(bench.settle(T0, retry(&leased[0], 1_000)).await, Settled::Ok);
    garble(&bench, "a");
    assert_eq!(bench.ids(T0 + 1_000, 5).await, ["b"]);
    is_buried(&bench, "a");
    bench.sound().await;
}

#[tokio::test]
async fn a_malformed_entry_is_buried_when_its_lease_ends_and_when_it_is_given_back() {
    for given_back in [true, false] {
        let bench = Bench::start().await;
        bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
        let leased = bench.claim(T0, 1).await.remove(0);
        garble(&bench, "a");
        if given_back {
            assert_eq!(bench.settle(T0, retry(&leased, 1_000)).await, Settled::Ok);
        } else {
            bench.engine.tick(T0 + 10_000).await.unwrap();
        }
        is_buried(&bench, "a");
    }
}

#[tokio::test]
async fn a_purge_buries_what_nobody_can_read_and_says_so_in_the_record() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    garble(&bench, "a");
    assert_eq!(bench.engine.purge(T0, &queue::engine::Purge::default()).await.unwrap(), 0);
    is_buried(&bench, "a");
    bench.sound().await;
}

#[tokio::test]
async fn an_entry_that_lies_in_a_queue_of_another_tenant_is_given_to_nobody() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    bench.put(T0, entry("b", "bolt", "agent-1", Tier::Free)).await;
    let body = "{nq:execution:0}:b:b";
    bench.redis.command(&["COPY", "{nq:execution:0}:b:a", body, "REPLACE"]);
    assert_eq!(bench.ids(T0, 5).await, ["a"]);
    assert_eq!(bench.redis.command(&["HGET", "{nq:execution:0}:t:b", "why"]), "malformed");
    bench.sound().await;
}

#[tokio::test]
async fn an_entry_whose_header_names_no_lane_stops_nobody() {
    let bench = Bench::start().await;
    for id in ["a", "b"] {
        bench.put(T0, entry(id, "acme", "agent-1", Tier::Free)).await;
    }
    // Also when it would end instead of being leased, which needs the whole header.
    bench.redis.command(&["SETRANGE", "{nq:execution:0}:b:a", "8", "\u{9}"]);
    bench.redis.command(&["HSET", "{nq:execution:0}:cx", "a", "enough"]);
    assert_eq!(bench.ids(T0, 5).await, ["b"]);
    assert_eq!(bench.redis.command(&["HGET", "{nq:execution:0}:t:a", "why"]), "malformed");
    bench.sound().await;
}

#[tokio::test]
async fn a_settle_without_a_lease_changes_nothing() {
    let bench = Bench::start().await;
    bench.put(T0, entry("a", "acme", "agent-1", Tier::Free)).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    let (header, _) = Header::split(&leased.body).unwrap();
    for token in [0, 1, leased.token - 1, leased.token + 1, u64::MAX] {
        let end = Box::new(End::of(&header, "completed"));
        let wrong = Settle::Done { id: "a".to_owned(), token, end };
        assert_eq!(bench.settle(T0, wrong).await, Settled::Stale, "{token}");
        let release = Settle::Release { id: "a".to_owned(), token, events: Vec::new() };
        assert_eq!(bench.settle(T0, release).await, Settled::Stale, "{token}");
    }
    let end = Box::new(End { tenant: "acme".to_owned(), lane: Lane::Tier(Tier::Free), ..End::of(&header, "failed") });
    let unknown = Settle::Done { id: "never-seen".to_owned(), token: leased.token, end };
    assert_eq!(bench.settle(T0, unknown).await, Settled::Gone);
    bench.sound().await;
    assert_eq!(bench.settle(T0, done(&leased)).await, Settled::Ok, "the one that holds it still can");
    bench.sound().await;
}

#[tokio::test]
async fn a_reply_to_an_inbox_that_nobody_reads_is_dropped_and_the_worker_goes_on() {
    let mut setup = Setup::start().await;
    setup.run(searcher(&setup.queue, 1));
    let acme = tenant("acme");
    let lost = action::Action { reply_inbox: Some("{nq:inbox:gone}".to_owned()), ..search(&acme, Tier::Free, "1") };
    setup.queue.submit(lost.clone()).await.unwrap();
    assert_eq!(setup.ended(&acme, lost.task).await.status(), Status::Completed);
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().outbox == 0 }).await;
    assert_eq!(setup.redis.command(&["EXISTS", "{nq:inbox:gone}"]), "0", "it takes no memory");
    let next = search(&acme, Tier::Free, "2");
    setup.queue.submit(next.clone()).await.unwrap();
    assert_eq!(setup.ended(&acme, next.task).await.status(), Status::Completed);
    setup.finish().await;
}

#[tokio::test]
async fn an_action_whose_time_is_over_before_it_starts_ends_as_a_timeout() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let late = action::Action { deadline: Deadline::Within(Duration::ZERO), ..search(&acme, Tier::Free, "1") };
    setup.queue.submit(late.clone()).await.unwrap();
    // No time at all is a millisecond, in which a quick worker could be done; its passing is the point.
    tokio::time::sleep(Duration::from_millis(2)).await;
    setup.run(searcher(&setup.queue, 1));
    assert_eq!(setup.ended(&acme, late.task).await.status(), Status::Timeout);
    let next = search(&acme, Tier::Free, "2");
    setup.queue.submit(next.clone()).await.unwrap();
    assert_eq!(setup.ended(&acme, next.task).await.status(), Status::Completed);
    setup.finish().await;
}

#[tokio::test]
async fn every_option_out_of_range_is_refused_by_its_name_and_writes_nothing() {
    let setup = Setup::start().await;
    let acme = tenant("acme");
    let year = Duration::from_hours(24 * 366);
    let second = Duration::from_secs(1);
    let key = |key: &str, ttl| Options { idempotency: Some((key.to_owned(), ttl)), ..Options::default() };
    let retry = |retry| Options { retry, ..Options::default() };
    let wrong = [
        ("delay", Options { when: When::After(year + second), ..Options::default() }),
        ("delay", Options { when: When::At(std::time::SystemTime::now() + year + second * 60), ..Options::default() }),
        ("idempotency_key", key("", second)),
        ("idempotency_key", key("a\ttab", second)),
        ("idempotency_key", key("ümlaut", second)),
        ("idempotency_key", key(&"k".repeat(201), second)),
        ("idempotency_ttl", key("k", Duration::from_millis(999))),
        ("idempotency_ttl", key("k", Duration::from_hours(24 * 7) + second)),
        ("retry.max_attempts", retry(queue::Retry { max_attempts: Some(0), ..queue::Retry::default() })),
        ("retry.max_attempts", retry(queue::Retry { max_attempts: Some(101), ..queue::Retry::default() })),
        ("retry.base", retry(queue::Retry { base: Some(Duration::ZERO), ..queue::Retry::default() })),
        ("retry.cap", retry(queue::Retry { cap: Some(year + second), ..queue::Retry::default() })),
        ("time_to_live", Options { time_to_live: Some(Duration::ZERO), ..Options::default() }),
        ("time_to_live", Options { time_to_live: Some(year + second), ..Options::default() }),
        ("budget", Options { budget: Some(Duration::ZERO), ..Options::default() }),
        ("budget", Options { budget: Some(year + second), ..Options::default() }),
    ];
    for (name, options) in wrong {
        let error = setup.queue.submit_with(search(&acme, Tier::Free, "1"), &options).await.unwrap_err();
        assert!(matches!(&error, Error::Field { field, .. } if *field == name), "{name}: {error:?}");
        assert_eq!(error.failure().reason().id, "INVALID_FIELD");
    }
    assert_eq!(setup.redis.command(&["KEYS", "{nq:query:0}:b:*"]), "");
    setup.finish().await;
}
