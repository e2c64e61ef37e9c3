use action::{Status, TaskId};
use futures::StreamExt as _;
use proto::task::v1::frame::Body;
use session::{Announcement, Log, Start};

use crate::support::{Client, World, attempt, tenant};

fn agent() -> Log {
    Log::agent(&tenant(), &"agent-1".parse().expect("an agent"))
}

fn states(client: &Client) -> Vec<Status> {
    let state = |frame: &proto::task::v1::Frame| match &frame.body {
        Some(Body::TaskUpdate(update)) => update.status(),
        other => panic!("not an update: {other:?}"),
    };
    client.frames.iter().map(state).collect()
}

#[tokio::test]
async fn an_agents_log_is_written_only_while_somebody_follows_it() {
    let world = World::new().await;
    let tell = |action, status| world.sessions.announce(Announcement::of(action, status));
    let before = attempt(TaskId::new(), 1);
    tell(&before, Status::Running).await;
    assert_eq!(world.redis.command(&["KEYS", "*"]).trim(), "");
    let mut client = Client::new(world.sessions.follow(agent(), Start::Now).boxed());
    client.until_resumed().await;
    let task = attempt(TaskId::new(), 1);
    tell(&task, Status::Running).await;
    tell(&task, Status::Completed).await;
    tell(&task, Status::Failed).await;
    tell(&task, Status::Running).await;
    let other = attempt(TaskId::new(), 1);
    tell(&other, Status::Timeout).await;
    client.until(3).await;
    assert_eq!(
        states(&client),
        [Status::Running, Status::Completed, Status::Timeout],
        "nothing after the end of a task"
    );
    let mut late = Client::new(world.sessions.follow(agent(), Start::Now).boxed());
    late.until_resumed().await;
    assert_eq!((late.frames.len(), late.position.seq), (0, 3), "it begins with what happens now");
}

#[tokio::test]
async fn an_action_without_an_agent_is_told_to_nobody() {
    let mut action = attempt(TaskId::new(), 1);
    action.context.primary_agent = None;
    assert!(Announcement::of(&action, Status::Running).is_none());
}
