use std::time::Duration;

use action::TaskId;
use session::{Config, Event, Position, Start};

use crate::support::{PATIENCE, World, attempt, delta, last, log, open, typing};

/// After the first one, positions are not compared within the time of a test.
fn hints_only() -> Config {
    Config { check: Duration::from_hours(1), lease: Duration::from_hours(2), ..Config::default() }
}

#[tokio::test]
async fn a_follower_is_told_what_was_missed_then_what_happens() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    world.append(typing(&action)).await.unwrap();
    let mut client = world.follow(Start::Beginning);
    assert!(matches!(client.next().await, Event::Attached { top: 1, after: 0, .. }));
    assert!(matches!(client.next().await, Event::Frame(_)));
    assert!(matches!(client.next().await, Event::Resumed { from: 1, to: 1, .. }));
    world.append(delta(&action, 0, "hel")).await.unwrap();
    client.until(2).await;
    world.append(last(&action, "hello")).await.unwrap();
    client.until(3).await;
    assert_eq!(client.said(), ["typing", "hel", "=hello"]);
}

#[tokio::test]
async fn following_without_a_position_starts_after_what_was_acknowledged() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    for _ in 0..3 {
        world.append(typing(&action)).await.unwrap();
    }
    let mut client = world.follow(Start::Acknowledged);
    client.until_resumed().await;
    assert_eq!(client.frames.len(), 3, "nothing was acknowledged");
    world.sessions.acknowledge(&world.log, &client.position.epoch, 2).await.unwrap();
    let mut client = world.follow(Start::Acknowledged);
    client.until_resumed().await;
    assert_eq!(client.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn a_log_can_be_followed_before_there_is_anything_in_it() {
    let world = World::new().await;
    let mut client = world.follow(Start::Acknowledged);
    client.until_resumed().await;
    world.append(typing(&attempt(TaskId::new(), 1))).await.unwrap();
    client.until(1).await;
    assert!(client.gaps.is_empty());
}

#[tokio::test]
async fn all_followers_of_a_process_share_one_connection() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for number in 0..20 {
        let stream = world.sessions.follow(log(&format!("web-{}", number % 5)), Start::Beginning);
        let mut client = crate::support::Client::new(Box::pin(stream));
        client.until_resumed().await;
        clients.push(client);
    }
    let subscribers = || world.redis.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().count();
    testkit::eventually(PATIENCE, || async { subscribers() == 1 }).await;
    for number in 0..5 {
        let action = attempt(TaskId::new(), 1);
        world.sessions.append(&log(&format!("web-{number}")), typing(&action)).await.unwrap();
    }
    for client in &mut clients {
        client.until(1).await;
    }
    world.sessions.close().await;
    testkit::eventually(PATIENCE, || async { subscribers() == 0 }).await;
}

#[tokio::test]
async fn the_connection_ends_with_the_last_handle() {
    let world = World::new().await;
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let World { redis, sessions, .. } = world;
    let subscribers = || redis.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().count();
    testkit::eventually(PATIENCE, || async { subscribers() == 1 }).await;
    drop(sessions);
    assert_eq!(subscribers(), 1, "the stream holds it");
    drop(client);
    testkit::eventually(PATIENCE, || async { subscribers() == 0 }).await;
}

/// Without a lease nobody is hinted, so only the comparison of positions can tell.
#[tokio::test]
async fn lost_hints_are_healed_by_comparing_positions() {
    let config = Config { check: Duration::from_millis(100), ..Config::default() };
    let world = World::with(testkit::Redis::start().await, config).await;
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let action = attempt(TaskId::new(), 1);
    for round in 1..=5 {
        world.redis.command(&["DEL", &World::key("nodes")]);
        world.append(typing(&action)).await.unwrap();
        client.until(round).await;
    }
    assert_eq!(client.frames.len(), 5);
}

#[tokio::test]
async fn a_lost_hint_is_healed_at_once_by_the_next_one() {
    let world = World::with(testkit::Redis::start().await, hints_only()).await;
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let subscribers = || world.redis.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().count();
    testkit::eventually(PATIENCE, || async { subscribers() == 1 }).await;
    let action = attempt(TaskId::new(), 1);
    for round in 1..=5 {
        world.redis.command(&["RENAME", &World::key("nodes"), &World::key("kept")]);
        world.append(typing(&action)).await.unwrap();
        world.redis.command(&["RENAME", &World::key("kept"), &World::key("nodes")]);
        world.append(typing(&action)).await.unwrap();
        client.until(2 * round).await;
    }
    assert_eq!(client.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_that_sleeps_through_more_hints_than_fit_misses_nothing() {
    let world = World::with(testkit::Redis::start().await, hints_only()).await;
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let action = attempt(TaskId::new(), 1);
    for _ in 0..700 {
        world.append(typing(&action)).await.unwrap();
    }
    client.until(700).await;
    assert_eq!(client.frames.len(), 700);
    assert!(client.gaps.is_empty());
}

#[tokio::test]
async fn frames_appended_by_another_process_arrive_and_large_ones_too() {
    let world = World::with(testkit::Redis::start().await, hints_only()).await;
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let other = open(&world.redis, Config::default()).await;
    let action = attempt(TaskId::new(), 1);
    other.append(&world.log, delta(&action, 0, "small")).await.unwrap();
    client.until(1).await;
    other.append(&world.log, last(&action, &"long ".repeat(40_000))).await.unwrap();
    client.until(2).await;
    assert_eq!(client.said()[1].len(), 200_001);
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_where_it_was() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    world.append(delta(&action, 0, "a")).await.unwrap();
    client.until(1).await;
    let position = client.position.clone();
    drop(client);
    world.append(delta(&action, 1, "b")).await.unwrap();
    world.append(last(&action, "ab")).await.unwrap();
    let mut client = world.follow(Start::After(position));
    client.until_resumed().await;
    assert_eq!(client.said(), ["=ab"], "the delta is part of the whole answer");
    assert!(client.gaps.is_empty());
    assert_eq!(client.position, Position { epoch: client.position.epoch.clone(), seq: 3 });
}
