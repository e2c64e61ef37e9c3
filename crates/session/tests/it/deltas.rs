use std::time::Duration;

use action::TaskId;
use proto::task::v1::frame::Body;
use session::{Config, Deltas, Error, Log};

use crate::support::{World, attempt, last};

/// A world in which time alone never makes text due.
async fn patient() -> World {
    let config = Config { delta_interval: Duration::from_hours(1), ..Config::default() };
    World::with(testkit::Redis::start().await, config).await
}

fn writer(world: &World, task: TaskId, number: u32) -> Deltas {
    let action = attempt(task, number);
    Deltas::new(world.sessions.clone(), Log::of(&action), &action)
}

async fn written(world: &World) -> Vec<(u32, u32, String)> {
    let frames = world.all().await;
    let deltas = frames.into_iter().filter_map(|frame| match frame.body {
        Some(Body::AgentDelta(delta)) => Some((delta.attempt, delta.index, delta.text)),
        _ => None,
    });
    deltas.collect()
}

#[tokio::test]
async fn the_first_piece_goes_at_once_and_later_ones_together() {
    let world = patient().await;
    let mut deltas = writer(&world, TaskId::new(), 1);
    for text in ["one ", "two ", "three"] {
        deltas.push(text).await.unwrap();
    }
    assert_eq!(written(&world).await, [(1, 0, "one ".to_owned())]);
    deltas.flush().await.unwrap();
    deltas.flush().await.unwrap();
    assert_eq!(written(&world).await, [(1, 0, "one ".to_owned()), (1, 1, "two three".to_owned())]);
    assert_eq!(deltas.written(), 2);
}

#[tokio::test]
async fn enough_text_goes_without_waiting() {
    let world = patient().await;
    let mut deltas = writer(&world, TaskId::new(), 1);
    deltas.push("first").await.unwrap();
    for _ in 0..4 {
        deltas.push(&"x".repeat(512)).await.unwrap();
    }
    assert_eq!(written(&world).await.iter().map(|delta| delta.2.len()).collect::<Vec<_>>(), [5, 1024, 1024]);
}

#[tokio::test]
async fn text_that_waited_long_enough_is_due() {
    let world = World::new().await;
    let mut deltas = writer(&world, TaskId::new(), 1);
    deltas.push("first").await.unwrap();
    deltas.push("second").await.unwrap();
    // On a slow machine the second piece may have been late enough to go at once.
    if written(&world).await.len() < 2 {
        tokio::time::timeout(Duration::from_secs(20), deltas.due()).await.unwrap();
        deltas.flush().await.unwrap();
    }
    assert_eq!(written(&world).await.len(), 2);
    assert!(tokio::time::timeout(Duration::from_millis(60), deltas.due()).await.is_err(), "nothing is left");
}

#[tokio::test]
async fn a_superseded_writer_stops_and_stays_stopped() {
    let world = World::new().await;
    let task = TaskId::new();
    let (mut old, mut new) = (writer(&world, task, 1), writer(&world, task, 2));
    old.push("old").await.unwrap();
    new.push("new").await.unwrap();
    for _ in 0..2 {
        old.push("more").await.unwrap_or_default();
        assert!(matches!(old.flush().await, Err(Error::Stale)));
    }
    world.append(last(&attempt(task, 2), "new")).await.unwrap();
    new.push("late").await.unwrap_or_default();
    assert!(matches!(new.flush().await, Err(Error::Finished)));
    assert!(matches!(new.flush().await, Err(Error::Finished)));
}

#[tokio::test]
async fn text_survives_an_outage_and_is_written_once() {
    let mut world = World::with(testkit::Redis::start_durable().await, Config::default()).await;
    let mut deltas = writer(&world, TaskId::new(), 1);
    deltas.push("one ").await.unwrap();
    world.redis.kill();
    deltas.push("two ").await.unwrap_or_default();
    assert!(matches!(deltas.flush().await, Err(Error::Broker(_))));
    deltas.push("three").await.unwrap_or_default();
    world.redis.restart().await;
    while deltas.flush().await.is_err() {}
    let text: String = written(&world).await.into_iter().map(|delta| delta.2).collect();
    assert_eq!(text, "one two three");
}
