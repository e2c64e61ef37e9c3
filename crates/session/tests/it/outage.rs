//! What followers see when Redis is away, comes back, or comes back with less.

use std::time::Duration;

use action::TaskId;
use session::{Config, GapReason, Start};

use crate::support::{World, attempt, delta, last, typing};

#[tokio::test]
async fn a_server_that_was_killed_and_kept_everything_costs_no_frame_and_doubles_none() {
    let mut world = World::with(testkit::Redis::start_durable().await, Config::default()).await;
    let action = attempt(TaskId::new(), 1);
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    world.append(typing(&action)).await.unwrap();
    world.append(delta(&action, 0, "a")).await.unwrap();
    client.until(2).await;
    let before = client.position.epoch.clone();
    world.redis.restart().await;
    while world.append(delta(&action, 1, "b")).await.is_err() {}
    client.until(3).await;
    finish_patiently(&world, &action).await;
    client.until(4).await;
    assert_eq!(client.said(), ["typing", "a", "b", "=ab"]);
    assert_eq!(client.gaps.len(), 1);
    assert_eq!(client.gaps[0].reason, GapReason::Epoch);
    assert_eq!((&client.gaps[0].missed, client.gaps[0].after), (&None, 2), "nothing is known to be missing");
    assert_ne!(client.position.epoch, before);
}

#[tokio::test]
async fn a_client_that_knows_an_epoch_of_three_restarts_ago_goes_on_where_it_was() {
    let mut world = World::with(testkit::Redis::start_durable().await, Config::default()).await;
    let action = attempt(TaskId::new(), 1);
    world.append(typing(&action)).await.unwrap();
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let position = client.position.clone();
    drop(client);
    for index in 0..3 {
        world.redis.restart().await;
        while world.append(delta(&action, index, "x")).await.is_err() {}
    }
    let mut client = world.follow(Start::After(position));
    client.until_resumed().await;
    assert_eq!(client.said(), ["x", "x", "x"]);
    assert_eq!(client.gaps.len(), 1);
}

#[tokio::test]
async fn a_server_that_comes_back_rolled_back_starts_a_new_epoch() {
    let mut world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    world.append(typing(&action)).await.unwrap();
    world.append(typing(&action)).await.unwrap();
    world.redis.command(&["SAVE"]);
    world.append(delta(&action, 0, "lost")).await.unwrap();
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    assert_eq!(client.position.seq, 3);
    world.redis.restart().await;
    let again = attempt(action.task, 2);
    while world.append(delta(&again, 0, "new")).await.is_err() {}
    while client.gaps.is_empty() {
        client.next().await;
    }
    let gap = &client.gaps[0];
    assert_eq!((gap.reason, &gap.missed, gap.after), (GapReason::Epoch, &None, 2), "what was lost was told before");
    client.until(4).await;
    assert_eq!(client.said(), ["typing", "typing", "lost", "restarted:2", "new"]);
}

/// What is known to be gone is said, also when something else may be gone besides.
#[tokio::test]
async fn a_change_of_epoch_over_a_log_that_was_trimmed_names_what_was_trimmed() {
    let mut world = World::with(testkit::Redis::start_durable().await, Config::default()).await;
    let action = attempt(TaskId::new(), 1);
    for _ in 0..6 {
        world.append(typing(&action)).await.unwrap();
    }
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    let epoch = client.position.epoch.clone();
    drop(client);
    world.redis.command(&["XTRIM", &World::key("log"), "MAXLEN", "=", "2"]);
    world.redis.restart().await;
    while world.append(typing(&action)).await.is_err() {}
    let mut client = world.follow(Start::After(session::Position { epoch, seq: 1 }));
    client.until_resumed().await;
    let gap = &client.gaps[0];
    assert_eq!((client.gaps.len(), gap.reason, &gap.missed), (1, GapReason::Epoch, &Some(2..=4)));
    assert!(client.position.seq >= 7);
}

#[tokio::test]
async fn a_server_that_lost_everything_starts_a_new_epoch() {
    let mut world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    world.append(typing(&action)).await.unwrap();
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    world.redis.restart().await;
    while world.append(last(&action, "after")).await.is_err() {}
    while client.frames.len() < 2 {
        client.next().await;
    }
    assert_eq!(client.said(), ["typing", "=after"]);
    assert_eq!(client.gaps[0].reason, GapReason::Epoch);
    assert_eq!(client.position.seq, 1);
}

#[tokio::test]
async fn a_server_that_does_not_answer_for_a_while_is_waited_for() {
    let config = Config { check: Duration::from_millis(200), ..Config::default() };
    let world = World::with(testkit::Redis::start().await, config).await;
    let action = attempt(TaskId::new(), 1);
    let mut client = world.follow(Start::Beginning);
    client.until_resumed().await;
    world.redis.pause();
    let quiet = tokio::time::timeout(Duration::from_millis(400), client.next()).await;
    assert!(quiet.is_err(), "the stream neither ends nor fails");
    world.redis.resume();
    world.append(typing(&action)).await.unwrap();
    client.until(1).await;
    assert!(client.gaps.is_empty());
}

#[tokio::test]
async fn following_can_begin_while_the_server_is_away() {
    let mut world = World::with(testkit::Redis::start_durable().await, Config::default()).await;
    world.append(typing(&attempt(TaskId::new(), 1))).await.unwrap();
    world.redis.kill();
    let mut client = world.follow(Start::Beginning);
    let quiet = tokio::time::timeout(Duration::from_millis(200), client.next()).await;
    assert!(quiet.is_err());
    world.redis.restart().await;
    client.until_resumed().await;
    assert_eq!(client.said(), ["typing"]);
}

/// Appends the final as a worker would: again until it is confirmed. Trying again cannot double it, nor a delta, which
/// the log knows by its index.
async fn finish_patiently(world: &World, action: &action::Action) {
    loop {
        match world.append(last(action, "ab")).await {
            Ok(_) | Err(session::Error::Finished) => return,
            Err(_) => {}
        }
    }
}
