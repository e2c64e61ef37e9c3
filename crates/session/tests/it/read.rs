use action::TaskId;
use session::{Gap, GapReason, Page, Position, Start};

use crate::support::{World, attempt, delta, last, said, typing};

async fn page(world: &World, epoch: &str, seq: u64, limit: usize) -> Page {
    let after = Position { epoch: epoch.to_owned(), seq };
    world.sessions.read(&world.log, after, limit).await.expect("the log is read")
}

#[tokio::test]
async fn deltas_of_a_finished_task_are_left_out_without_a_gap() {
    let world = World::new().await;
    let (done, running) = (attempt(TaskId::new(), 1), attempt(TaskId::new(), 1));
    for index in 0..3 {
        world.append(delta(&done, index, "d")).await.unwrap();
        world.append(delta(&running, index, "r")).await.unwrap();
    }
    world.append(last(&done, "ddd")).await.unwrap();
    let page = page(&world, "", 0, 100).await;
    assert_eq!(page.frames.iter().map(said).collect::<Vec<_>>(), ["r", "r", "r", "=ddd"]);
    assert_eq!((page.gap, page.upto, page.top), (None, 7, 7));
}

#[tokio::test]
async fn pages_join_without_holes_even_when_all_of_one_is_left_out() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    let batch = (0..10).map(|index| delta(&action, index, "x")).collect();
    world.sessions.append_many(&world.log, batch).await.unwrap();
    world.append(last(&action, "whole")).await.unwrap();
    let first = page(&world, "", 0, 4).await;
    assert_eq!((first.frames.len(), first.upto), (0, 4));
    let second = page(&world, &first.epoch, first.upto, 4).await;
    assert_eq!((second.after, second.upto), (4, 8));
    let third = page(&world, &first.epoch, second.upto, 4).await;
    assert_eq!((third.frames.len(), third.upto), (1, 11));
}

#[tokio::test]
async fn what_was_trimmed_is_told_as_a_gap() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    for _ in 0..10 {
        world.append(typing(&action)).await.unwrap();
    }
    world.redis.command(&["XTRIM", &World::key("log"), "MAXLEN", "=", "4"]);
    let epoch = page(&world, "", 0, 1).await.epoch;
    let after_2 = page(&world, &epoch, 2, 100).await;
    let gap = after_2.gap.unwrap();
    assert_eq!((gap.missed, gap.after, gap.reason), (Some(3..=6), 6, GapReason::Trimmed));
    assert_eq!((after_2.after, after_2.frames.len()), (6, 4));
    assert_eq!(page(&world, &epoch, 6, 100).await.gap, None);
}

#[tokio::test]
async fn a_log_that_expired_is_told_as_a_gap() {
    let world = World::new().await;
    world.append(typing(&attempt(TaskId::new(), 1))).await.unwrap();
    let epoch = page(&world, "", 0, 1).await.epoch;
    world.redis.command(&["FLUSHALL"]);
    let lost = page(&world, &epoch, 1, 100).await;
    let gap = lost.gap.unwrap();
    assert_eq!(
        (lost.epoch.as_str(), gap.reason, gap.missed),
        ("", GapReason::Expired, None),
        "nobody knows what was in it"
    );
    let mut client = world.follow(Start::After(Position { epoch: epoch.clone(), seq: 1 }));
    client.until_resumed().await;
    assert_eq!(client.gaps[0].reason, GapReason::Expired);
    assert_ne!(client.position.epoch, epoch);
}

#[tokio::test]
async fn acknowledging_never_goes_back_nor_beyond_the_log_and_minds_the_epoch() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    for _ in 0..6 {
        world.append(typing(&action)).await.unwrap();
    }
    let epoch = page(&world, "", 0, 1).await.epoch;
    let mut expected = Vec::new();
    for (of, seq) in [(epoch.as_str(), 4), (&epoch, 2), ("another", 6), (&epoch, 5), (&epoch, 600)] {
        world.sessions.acknowledge(&world.log, of, seq).await.unwrap();
        expected.push(page(&world, "", 0, 100).await.after);
    }
    assert_eq!(expected, [4, 4, 4, 5, 6]);
}

#[tokio::test]
async fn a_position_beyond_the_log_is_its_top_and_told_as_a_gap() {
    let world = World::new().await;
    world.append(typing(&attempt(TaskId::new(), 1))).await.unwrap();
    let epoch = page(&world, "", 0, 1).await.epoch;
    let beyond = page(&world, &epoch, 77, 10).await;
    let gap = Gap { missed: None, reason: GapReason::Epoch, epoch: epoch.clone(), after: 1 };
    assert_eq!((beyond.after, beyond.upto, beyond.gap), (1, 1, Some(gap)));
    let top = page(&world, &epoch, 1, 10).await;
    assert_eq!((top.after, top.gap), (1, None));
}
