use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::oneshot;

use super::Tasks;

#[tokio::test]
async fn who_stays_gets_the_answer() {
    assert_eq!(Tasks::default().see_through(|| async { 7 }).await, 7);
}

#[tokio::test]
async fn the_rest_runs_to_its_end_when_whoever_waited_has_gone_and_is_waited_for() {
    let tasks = Tasks::default();
    let (go, gone) = oneshot::channel::<()>();
    let (done, seen) = oneshot::channel();
    let mut working = tasks.see_through(|| async move {
        gone.await.expect("it may go on");
        done.send("done").expect("somebody looks");
    });
    assert!((&mut working).now_or_never().is_none(), "it has begun and waits");
    drop(working);
    go.send(()).expect("it still runs");
    assert!(tasks.end(Duration::from_secs(10)).await, "its end was waited for");
    assert_eq!(seen.await, Ok("done"));
}

#[tokio::test]
async fn what_was_never_begun_runs_all_the_same() {
    let tasks = Tasks::default();
    let (done, seen) = oneshot::channel();
    drop(tasks.see_through(|| async move { done.send("done") }));
    assert_eq!(seen.await, Ok("done"));
}

#[tokio::test]
async fn what_panicked_is_not_run_once_more() {
    let tasks = Tasks::default();
    let working = tasks.see_through(|| async { panic!("on purpose") });
    let ended = std::panic::AssertUnwindSafe(working).catch_unwind().await;
    assert!(ended.is_err());
    assert!(tasks.end(Duration::from_secs(10)).await, "nothing was begun again");
}
