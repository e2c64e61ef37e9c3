//! Following an agent: how its tasks are getting on; and one task.

use std::time::Duration;

use action::{Status, TaskId};
use proto::orchestrator::v1::Attach;
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::task::v1::TaskUpdate;
use proto::task::v1::frame::Body;

use crate::connect::Stream;
use crate::mesh::{Mesh, tenant};
use crate::send::message;

async fn attach(stream: &mut Stream, channel: u64, tenant: &str, agent: &str) {
    let attach = Attach { tenant_id: tenant.into(), agent_id: agent.into(), ..Attach::default() };
    stream.say(channel, Command::Attach(attach)).await;
    while !matches!(stream.next().await, (_, Event::Resumed(_))) {}
}

/// Reads the next frame: its channel, its task and what it says.
async fn update(stream: &mut Stream) -> (u64, String, TaskUpdate) {
    loop {
        if let (channel, Event::Frame(frame)) = stream.next().await {
            let Some(Body::TaskUpdate(update)) = frame.body else { panic!("not an update: {frame:?}") };
            return (channel, frame.task_id, update);
        }
    }
}

async fn send(mesh: &Mesh) -> TaskId {
    mesh.send(message("nobody reads this along", "sess-any"))
        .await
        .expect("accepted")
        .task
        .expect("a task")
        .task_id
        .parse()
        .expect("an id")
}

#[tokio::test]
async fn who_follows_an_agent_is_told_when_its_tasks_come_and_end_and_nothing_of_what_they_say() {
    let mesh = Mesh::start().await;
    let before = send(&mesh).await;
    let mut stream = Stream::open(mesh.gateway()).await;
    attach(&mut stream, 1, "tenant-1", "agent-ventas").await;
    attach(&mut stream, 2, "tenant-2", "agent-ventas").await;
    let task = send(&mesh).await;
    let (channel, told, update_of) = update(&mut stream).await;
    assert_eq!(
        (channel, told, update_of.status()),
        (1, task.to_string(), Status::Pending),
        "not what was before: {before}"
    );
    mesh.kit.queue.cancel(&tenant(), task, "enough").await.expect("cancelled");
    let (channel, told, update_of) = update(&mut stream).await;
    assert_eq!((channel, told, update_of.status()), (1, task.to_string(), Status::Cancelled));
    assert_eq!((update_of.message, update_of.result.len()), (String::new(), 0));
}

#[tokio::test]
async fn an_agent_that_nobody_follows_leaves_no_log() {
    let mesh = Mesh::start().await;
    let task = send(&mesh).await;
    mesh.kit.queue.cancel(&tenant(), task, "enough").await.expect("cancelled");
    let finals = || async { !mesh.redis.command(&["KEYS", "{ns:tenant-1:s:sess-any}:log"]).trim().is_empty() };
    testkit::eventually(Duration::from_secs(10), finals).await;
    assert_eq!(mesh.redis.command(&["KEYS", "{ns:*:a:*}*"]).trim(), "");
}

#[tokio::test]
async fn a_hint_that_is_lost_is_healed_while_the_stream_goes_on() {
    let mesh = Mesh::adjusted(orchestrator::Config::default(), |kit| {
        kit.session.check = Duration::from_millis(200);
    })
    .await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-any").await;
    while !matches!(stream.next().await, (_, Event::Resumed(_))) {}
    // Without leases nothing is published: only the log knows.
    mesh.redis.command(&["DEL", "{ns:tenant-1:s:sess-any}:nodes"]);
    crate::connect::write(&mesh, "sess-any", 3).await;
    for seq in 1..=3 {
        assert_eq!(stream.frame(1).await.0, seq);
    }
}

#[tokio::test]
async fn who_follows_a_task_is_told_its_frames_only_from_their_beginning() {
    let mesh = Mesh::start().await;
    crate::connect::write(&mesh, "sess-any", 2).await;
    let (first, second) = (send(&mesh).await, send(&mesh).await);
    mesh.kit.queue.cancel(&tenant(), first, "enough").await.expect("cancelled");
    let ended = || async { mesh.redis.command(&["XLEN", "{ns:tenant-1:s:sess-any}:log"]).trim() == "3" };
    testkit::eventually(Duration::from_secs(10), ended).await;
    let mut stream = Stream::open(mesh.gateway()).await;
    let attach = |task: TaskId| Attach {
        tenant_id: "tenant-1".into(),
        session_id: "sess-any".into(),
        task_id: task.to_string(),
        ..Attach::default()
    };
    stream.say(1, Command::Attach(attach(first))).await;
    stream.say(2, Command::Attach(attach(second))).await;
    let mut told = Vec::new();
    mesh.kit.queue.cancel(&tenant(), second, "enough").await.expect("cancelled");
    while told.len() < 2 {
        if let (channel, Event::Frame(frame)) = stream.next().await {
            assert!(matches!(frame.body, Some(Body::Error(_))), "{frame:?}");
            told.push((channel, frame.task_id, frame.seq));
        }
    }
    told.sort_unstable();
    assert_eq!(told, [(1, first.to_string(), 3), (2, second.to_string(), 4)]);
}
