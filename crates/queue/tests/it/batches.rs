//! Many in one step: what is the same, what fits and what does not, what is held and what is not.

use std::time::Duration;

use action::Tier;
use queue::Error;
use queue::engine::{End, Entry, Header, Leased, Purge, Settle, Settled};

use crate::bench::{Bench, T0, done, entry};

fn plain(id: &str, tenant: &str, context: &str) -> Entry {
    Entry { root: None, outcome: false, ..entry(id, tenant, context, Tier::Free) }
}

fn plainly_done(leased: &Leased) -> Settle {
    let (header, _) = Header::split(&leased.body).unwrap();
    Settle::Done { id: leased.id.clone(), token: leased.token, end: Box::new(End::of(&header, "completed")) }
}

#[tokio::test]
async fn the_same_action_twice_in_one_step_is_one_action() {
    let bench = Bench::start().await;
    let entries = ["a", "b", "a"].map(|id| plain(id, "acme", "agent-1"));
    let placed = bench.engine.submit(T0, &entries).await.unwrap();
    let new: Vec<bool> = placed.into_iter().map(|placed| placed.unwrap().new).collect();
    assert_eq!(new, [true, true, false]);
    assert_eq!(bench.ids(T0, 9).await, ["a", "b"]);
    bench.sound().await;
}

#[tokio::test]
async fn one_that_is_known_does_not_hinder_the_others() {
    let bench = Bench::start().await;
    for known in [plain("a", "acme", "agent-1"), entry("r", "acme", "agent-1", Tier::Free)] {
        bench.put(T0, known).await;
    }
    let entries = [
        plain("b", "acme", "agent-1"),
        entry("r", "acme", "agent-1", Tier::Free),
        plain("a", "acme", "agent-1"),
        entry("s", "acme", "agent-2", Tier::Free),
    ];
    let placed = bench.engine.submit(T0, &entries).await.unwrap();
    let told: Vec<(bool, u64)> =
        placed.into_iter().map(|placed| placed.unwrap()).map(|placed| (placed.new, placed.position)).collect();
    assert_eq!(told, [(true, 3), (false, 2), (false, 0), (true, 1)]);
    assert_eq!(bench.claim(T0, 9).await.len(), 4);
    bench.sound().await;
}

#[tokio::test]
async fn two_actions_with_one_key_in_one_step_are_one() {
    let bench = Bench::start().await;
    let keyed =
        |id| Entry { key: Some(("order-7".to_owned(), Duration::from_hours(1))), ..plain(id, "acme", "agent-1") };
    let placed = bench.engine.submit(T0, &[keyed("a"), keyed("b")]).await.unwrap();
    let told: Vec<(bool, String)> =
        placed.into_iter().map(|placed| placed.unwrap()).map(|placed| (placed.new, placed.id)).collect();
    assert_eq!(told, [(true, "a".to_owned()), (false, "a".to_owned())]);
    assert_eq!(bench.ids(T0, 9).await, ["a"]);
    bench.sound().await;
}

#[tokio::test]
async fn what_fits_is_taken_and_the_rest_is_refused_and_leaves_nothing() {
    let bench = Bench::start().await;
    bench.set(&[("depth:tenant", "3"), ("depth:queue", "2")]).await;
    let contexts = ["agent-1", "agent-1", "agent-1", "agent-2", "agent-2"];
    let entries: Vec<Entry> =
        contexts.iter().enumerate().map(|(i, context)| plain(&format!("id-{i}"), "acme", context)).collect();
    let told: Vec<Option<String>> = bench
        .engine
        .submit(T0, &entries)
        .await
        .unwrap()
        .into_iter()
        .map(|placed| match placed {
            Ok(_) => None,
            Err(Error::Full { what, .. }) => Some(what.to_owned()),
            Err(other) => panic!("{other}"),
        })
        .collect();
    let full = |what: &str| Some(format!("the {what}"));
    assert_eq!(told, [None, None, full("queue"), None, full("tenant")]);
    for id in ["id-2", "id-4"] {
        assert_eq!(bench.redis.command(&["EXISTS", &format!("{{nq:execution:0}}:b:{id}")]), "0");
    }
    bench.sound().await;
    assert_eq!(bench.claim(T0, 9).await.len(), 3);
    bench.sound().await;
}

#[tokio::test]
async fn of_many_settles_each_counts_for_its_own_tenant_also_when_one_is_not_held() {
    let bench = Bench::start().await;
    let tenants = ["acme", "acme", "other", "other", "acme"];
    bench.fill(T0, tenants.iter().enumerate().map(|(i, of)| plain(&format!("id-{i}"), of, "agent-1")).collect()).await;
    let mut leased = bench.claim(T0, 9).await;
    leased.sort_by(|one, other| one.id.cmp(&other.id));
    let mut items: Vec<Settle> = leased.iter().map(plainly_done).collect();
    let Settle::Done { token, .. } = &mut items[2] else { panic!("an end") };
    *token += 1;
    let told = bench.engine.settle(T0, &items).await.unwrap();
    assert_eq!(told, [Settled::Ok, Settled::Ok, Settled::Stale, Settled::Ok, Settled::Ok]);
    bench.sound().await;
    assert_eq!(bench.redis.command(&["HGET", "{nq:execution:0}:inf", "other"]), "1");
    assert_eq!(bench.settle(T0, plainly_done(&leased[2])).await, Settled::Ok);
    let twice = [done(&leased[0]), done(&leased[0])];
    assert_eq!(bench.engine.settle(T0, &twice).await.unwrap(), [Settled::Gone, Settled::Gone]);
    bench.sound().await;
}

#[tokio::test]
async fn a_lease_that_is_settled_twice_in_one_step_ends_once() {
    let bench = Bench::start().await;
    bench.put(T0, plain("a", "acme", "agent-1")).await;
    let leased = bench.claim(T0, 1).await.remove(0);
    let told = bench.engine.settle(T0, &[plainly_done(&leased), plainly_done(&leased)]).await.unwrap();
    assert_eq!(told, [Settled::Ok, Settled::Gone]);
    bench.sound().await;
}

#[tokio::test]
async fn a_purge_ends_what_waits_behind_an_action_that_runs_alone() {
    let bench = Bench::start().await;
    for id in ["a", "b", "c"] {
        bench.put(T0, Entry { ordered: true, ..plain(id, "acme", "agent-1") }).await;
    }
    let leased = bench.claim(T0, 9).await;
    assert_eq!(leased.len(), 1, "one at a time");
    let purge = Purge { tier: Some(Tier::Free), ..Purge::default() };
    assert_eq!(bench.engine.purge(T0, &purge).await.unwrap(), 2);
    bench.sound().await;
    assert_eq!(bench.settle(T0, plainly_done(&leased[0])).await, Settled::Ok);
    assert!(bench.claim(T0, 9).await.is_empty());
    bench.sound().await;
}

#[tokio::test]
async fn a_purge_goes_on_behind_many_who_have_nothing_any_more() {
    let bench = Bench::start().await;
    let one_each = (0..100).map(|i| plain(&format!("one-{i:03}"), &format!("t-{i:03}"), "agent-1"));
    let many = (0..400).map(|i| plain(&format!("many-{i:03}"), "zz", "agent-1"));
    bench.fill(T0, one_each.chain(many).collect()).await;
    // In two claims, which leave those who have nothing any more before the one who has.
    assert_eq!((bench.claim(T0, 64).await.len(), bench.claim(T0, 40).await.len()), (64, 40));
    assert_eq!(bench.redis.command(&["ZCARD", "{nq:execution:0}:r:free"]), "101");
    assert_eq!(bench.engine.purge(T0, &Purge::default()).await.unwrap(), 396);
    bench.sound().await;
}
