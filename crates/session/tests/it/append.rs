use std::time::Duration;

use action::TaskId;
use session::{Append, Config, Error, Log, Position};

use crate::support::{World, attempt, delta, last, log, said, tenant, typing};

#[tokio::test]
async fn positions_start_at_one_and_have_no_holes() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    assert_eq!(world.append(typing(&action)).await.unwrap(), 1);
    let batch = vec![delta(&action, 0, "a"), delta(&action, 1, "b"), last(&action, "ab")];
    let appended = world.sessions.append_many(&world.log, batch).await.unwrap();
    assert_eq!(appended.iter().map(|one| one.seq).collect::<Vec<_>>(), [2, 3, 4]);
    let page = world.sessions.read(&world.log, Position::default(), 10).await.unwrap();
    assert_eq!((page.top, page.upto), (4, 4));
    assert!(page.frames.iter().all(|frame| frame.epoch == page.epoch && frame.at.is_some()));
}

#[tokio::test]
async fn an_earlier_attempt_is_refused_once_a_later_one_wrote() {
    let world = World::new().await;
    let task = TaskId::new();
    let (first, second) = (attempt(task, 1), attempt(task, 2));
    world.append(delta(&first, 0, "old")).await.unwrap();
    world.append(delta(&second, 0, "new")).await.unwrap();
    assert!(matches!(world.append(delta(&first, 1, "late")).await, Err(Error::Stale)));
    assert!(matches!(world.append(last(&first, "late")).await, Err(Error::Stale)));
    let said: Vec<_> = world.all().await.iter().map(said).collect();
    assert_eq!(said, ["old", "restarted:2", "new"]);
}

#[tokio::test]
async fn nothing_follows_the_final_frame_not_even_a_second_one() {
    let world = World::new().await;
    let task = TaskId::new();
    world.append(last(&attempt(task, 1), "done")).await.unwrap();
    for late in [delta(&attempt(task, 2), 0, "late"), last(&attempt(task, 1), "done"), last(&attempt(task, 2), "done")]
    {
        assert!(matches!(world.append(late).await, Err(Error::Finished)));
    }
    assert!(matches!(world.sessions.restart(&world.log, &attempt(task, 3)).await, Err(Error::Finished)));
    assert_eq!(world.all().await.len(), 1);
    world.append(last(&attempt(TaskId::new(), 1), "another task")).await.unwrap();
}

#[tokio::test]
async fn a_batch_with_one_refused_frame_writes_nothing() {
    let world = World::new().await;
    let (one, other) = (attempt(TaskId::new(), 1), attempt(TaskId::new(), 1));
    let batch = vec![typing(&other), last(&one, "done"), delta(&one, 0, "after the end")];
    assert!(matches!(world.sessions.append_many(&world.log, batch).await, Err(Error::Finished)));
    assert!(world.all().await.is_empty());
}

#[tokio::test]
async fn a_restart_is_told_only_when_an_earlier_attempt_wrote_something_and_only_once() {
    let world = World::new().await;
    let task = TaskId::new();
    let restart = async |number| world.sessions.restart(&world.log, &attempt(task, number)).await.unwrap();
    assert_eq!(restart(1).await, None);
    assert_eq!(restart(2).await, None, "the first attempt had written nothing");
    assert!(matches!(world.append(delta(&attempt(task, 1), 0, "late")).await, Err(Error::Stale)));
    world.append(delta(&attempt(task, 2), 0, "two")).await.unwrap();
    assert_eq!(restart(2).await, None);
    assert_eq!(restart(3).await.map(|told| told.seq), Some(2));
    assert_eq!(restart(3).await, None);
    world.append(delta(&attempt(task, 3), 0, "three")).await.unwrap();
    let said: Vec<_> = world.all().await.iter().map(said).collect();
    assert_eq!(said, ["two", "restarted:3", "three"]);
}

#[tokio::test]
async fn a_delta_that_is_sent_again_is_not_written_again() {
    let world = World::new().await;
    let action = attempt(TaskId::new(), 1);
    for index in [0, 0, 1, 0, 1] {
        world.append(delta(&action, index, &index.to_string())).await.unwrap();
    }
    let said: Vec<_> = world.all().await.iter().map(said).collect();
    assert_eq!(said, ["0", "1"]);
}

#[tokio::test]
async fn what_was_decided_without_an_attempt_beats_every_attempt() {
    let world = World::new().await;
    let task = TaskId::new();
    world.append(delta(&attempt(task, 7), 0, "running")).await.unwrap();
    let cancelled = Append { fence: Append::DECIDED, ..last(&attempt(task, 1), "cancelled") };
    world.append(cancelled).await.unwrap();
    assert!(matches!(world.append(delta(&attempt(task, 8), 0, "late")).await, Err(Error::Finished)));
}

#[tokio::test]
async fn logs_are_bounded_in_length_and_every_key_in_time() {
    let config = Config { max_frames: 200, retention_free: Duration::from_secs(100), ..Config::default() };
    let world = World::with(testkit::Redis::start().await, config).await;
    let action = attempt(TaskId::new(), 1);
    for _ in 0..5 {
        let batch = (0..100).map(|_| typing(&action)).collect();
        world.sessions.append_many(&world.log, batch).await.unwrap();
    }
    let length: u32 = world.redis.command(&["XLEN", &World::key("log")]).parse().unwrap();
    assert!((200..=300).contains(&length), "{length} frames are kept");
    for key in world.redis.command(&["KEYS", "*"]).lines() {
        let left: i64 = world.redis.command(&["PTTL", key]).parse().unwrap();
        assert!((1..=160_000).contains(&left), "{key} lives for {left} ms");
    }
}

#[tokio::test]
async fn the_log_of_a_task_is_nobody_elses() {
    let world = World::new().await;
    let mut action = attempt(TaskId::new(), 1);
    action.session = None;
    let own = Log::of(&action);
    assert_eq!(own, Log::task(&tenant(), action.task));
    world.sessions.append(&own, typing(&action)).await.unwrap();
    for session in [format!("t-{}", action.task), format!("task-{}", action.task), action.task.to_string()] {
        let page = world.sessions.read(&log(&session), Position::default(), 10).await.unwrap();
        assert_eq!((page.epoch.as_str(), page.top), ("", 0));
    }
}
