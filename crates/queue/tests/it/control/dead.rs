//! Dead letters.

use std::time::Duration;

use action::{Action, Domain, Status, Tier};
use fault::{Failure, reason};
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use queue::{Config, Letters, Options, Replayed, Retry, Worker};

use crate::setup::{PATIENCE, Setup, quick, search, searcher, tenant};

/// A setup in which every search of two tenants failed as often as it may: their dead letters.
async fn exhausted(many: usize) -> (Setup, Vec<Action>) {
    let mut setup = Setup::start().await;
    let refusing = Worker::new(setup.queue.clone(), Domain::Query, 4).on::<SearchPassages, _, _, _>(|_, _| async {
        Err::<SearchPassagesResult, _>(Failure::new(&reason::UNAVAILABLE, "not today"))
    });
    let retry = Retry { max_attempts: Some(1), ..Retry::default() };
    let once = Options { retry, ..Options::default() };
    let mut actions = Vec::new();
    for i in 0..many {
        let action = search(&tenant(if i % 2 == 0 { "acme" } else { "bolt" }), Tier::Free, &i.to_string());
        setup.queue.submit_with(action.clone(), &once).await.unwrap();
        actions.push(action);
    }
    setup.run(refusing);
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().dead == many as u64 })
        .await;
    setup.stop().await;
    (setup, actions)
}

fn of(name: Option<&str>, why: Option<&str>, older_than: Option<Duration>) -> Letters {
    Letters::Matching { why: why.map(str::to_owned), tenant: name.map(tenant), older_than }
}

#[tokio::test]
async fn dead_letters_are_listed_in_pages_filtered_and_shown_whole() {
    let (setup, actions) = exhausted(7).await;
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let (page, next) = setup.queue.dead_letters(Domain::Query, &Letters::ALL, 3, &token).await.unwrap();
        assert!(page.len() <= 3);
        seen.extend(page);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    let mut ids: Vec<&str> = seen.iter().map(|letter| letter.action_id.as_str()).collect();
    let mut expected: Vec<String> = actions.iter().map(|action| action.id.to_string()).collect();
    ids.sort_unstable();
    expected.sort();
    assert_eq!(ids, expected);
    let list = async |letters: Letters| setup.queue.dead_letters(Domain::Query, &letters, 100, "").await.unwrap().0;
    assert_eq!(list(of(Some("acme"), None, None)).await.len(), 4);
    assert_eq!(list(of(None, Some("poison"), None)).await.len(), 0);
    assert_eq!(list(of(Some("bolt"), Some("exhausted"), None)).await.len(), 3);
    assert_eq!(list(of(None, None, Some(Duration::from_hours(1)))).await.len(), 0);
    let one = setup.queue.dead_letter(Domain::Query, &seen[0].entry_id).await.unwrap().unwrap();
    assert_eq!((one.why.as_str(), one.error.as_str(), one.attempts), ("exhausted", "not today", 1));
    assert!(!one.body.is_empty() && one.action.is_some());
    assert!(setup.queue.dead_letter(Domain::Query, "0.1-1").await.unwrap().is_none());
    for nonsense in ["", "x", "0.x-1", "0.1", "99999999999.1-1 "] {
        assert!(setup.queue.dead_letter(Domain::Query, nonsense).await.is_err(), "{nonsense}");
    }
    assert!(setup.queue.dead_letters(Domain::Query, &Letters::ALL, 3, "nonsense").await.is_err());
    setup.finish().await;
}

#[tokio::test]
async fn dead_letters_are_submitted_again_one_by_reason_or_all_and_run_with_fresh_counters() {
    let (mut setup, actions) = exhausted(6).await;
    let (letters, _) = setup.queue.dead_letters(Domain::Query, &Letters::ALL, 10, "").await.unwrap();
    let named = Letters::Named(vec![letters[0].entry_id.clone(), "0.1-1".to_owned()]);
    let once = setup.queue.replay(Domain::Query, &named).await.unwrap();
    assert_eq!(once, Replayed { replayed: 1, left: 1 });
    let none = setup.queue.replay(Domain::Query, &of(None, Some("poison"), None)).await.unwrap();
    assert_eq!(none, Replayed::default());
    let rest = setup.queue.replay(Domain::Query, &of(None, Some("exhausted"), None)).await.unwrap();
    assert_eq!(rest, Replayed { replayed: 5, left: 0 });
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().dead, 0);
    setup.run(searcher(&setup.queue, 4));
    for action in actions {
        let task = setup.ended(&action.tenant, action.task).await;
        assert_eq!((task.status(), task.attempts), (Status::Completed, 1));
    }
    setup.finish().await;
}

#[tokio::test]
async fn a_dead_letter_whose_record_is_gone_gets_one_again_with_its_replay() {
    let (mut setup, actions) = exhausted(1).await;
    let key = format!("{{nq:query:0}}:t:{}", crate::setup::entry_id(&actions[0]));
    assert_eq!(setup.redis.command(&["DEL", &key]), "1");
    setup.queue.replay(Domain::Query, &Letters::ALL).await.unwrap();
    assert_eq!(setup.queue.check(Domain::Query).await.unwrap(), Vec::<String>::new());
    let task = setup.queue.task(&actions[0].tenant, actions[0].task).await.unwrap().expect("there is one again");
    assert_eq!((task.status(), task.action_type.as_str()), (Status::Pending, "query.search"));
    setup.run(searcher(&setup.queue, 1));
    assert_eq!(setup.ended(&actions[0].tenant, actions[0].task).await.status(), Status::Completed);
    setup.finish().await;
}

#[tokio::test]
async fn dead_letters_are_thrown_away_by_name_by_tenant_and_by_age() {
    let (setup, _) = exhausted(5).await;
    let delete = async |letters: Letters| setup.queue.delete_dead_letters(Domain::Query, &letters).await.unwrap();
    let (letters, _) = setup.queue.dead_letters(Domain::Query, &of(Some("acme"), None, None), 10, "").await.unwrap();
    assert_eq!(delete(of(None, None, Some(Duration::from_hours(1)))).await, 0);
    assert_eq!(delete(Letters::Named(vec![letters[0].entry_id.clone()])).await, 1);
    assert_eq!(delete(of(Some("bolt"), None, None)).await, 2);
    assert_eq!(delete(of(None, None, Some(Duration::ZERO))).await, 2);
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().dead, 0);
    setup.finish().await;
}

#[tokio::test]
async fn dead_letters_go_when_their_time_is_over() {
    let config = Config { dead_letter_ttl: Duration::from_millis(300), ..quick() };
    let setup = Setup::start_with(config).await;
    let bench = broker::Redis::connect(&setup.redis.url()).await.unwrap();
    let old = redis::cmd("XADD").arg("{nq:query:0}:dead").arg("*").arg("id").arg("x").to_owned();
    bench.query::<String>(&old).await.unwrap();
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().dead == 0 }).await;
    setup.finish().await;
}
