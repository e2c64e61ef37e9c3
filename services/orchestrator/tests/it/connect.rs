//! One stream, many sessions.

use std::time::Duration;

use action::{Action, ExecutionContext, Tier};
use fault::Failure;
use orchestrator::Config;
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use proto::orchestrator::v1::{
    Acknowledge, Attach, ConnectRequest, ConnectResponse, Delivered, Detach, SendMessageRequest,
};
use proto::task::v1::TaskUpdate;
use proto::task::v1::frame::Body;
use service_kit::Peer;
use session::{Append, Log};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::mesh::{Mesh, tenant};
use crate::send::message;

/// The gateway's end of a stream.
pub(crate) struct Stream {
    commands: mpsc::Sender<ConnectRequest>,
    events: Streaming<ConnectResponse>,
}

impl Stream {
    pub(crate) async fn open(mut client: OrchestratorServiceClient<Peer>) -> Self {
        let (commands, sent) = mpsc::channel(16);
        let events = client.connect(ReceiverStream::new(sent)).await.expect("accepted").into_inner();
        Self { commands, events }
    }

    async fn open_outside(mesh: &Mesh) -> Self {
        let (commands, sent) = mpsc::channel(256);
        let events = mesh.outsider().connect(ReceiverStream::new(sent)).await.expect("accepted").into_inner();
        Self { commands, events }
    }

    pub(crate) async fn say(&self, channel: u64, command: Command) {
        let request = ConnectRequest { channel, command: Some(command) };
        self.commands.send(request).await.expect("the stream is open");
    }

    pub(crate) async fn attach(&self, channel: u64, tenant: &str, session: &str) {
        let attach = Attach { tenant_id: tenant.into(), session_id: session.into(), ..Attach::default() };
        self.say(channel, Command::Attach(attach)).await;
    }

    pub(crate) async fn next(&mut self) -> (u64, Event) {
        let next = tokio::time::timeout(Duration::from_secs(10), self.events.message()).await;
        let response = next.expect("something is told").expect("the stream is sound").expect("it goes on");
        (response.channel, response.event.expect("an event"))
    }

    /// Reads events of a channel until its next frame; returns the position and stage.
    pub(crate) async fn frame(&mut self, channel: u64) -> (u64, String) {
        loop {
            if let (of, Event::Frame(frame)) = self.next().await {
                assert_eq!(of, channel);
                let Some(Body::TaskUpdate(update)) = frame.body else { panic!("not an update") };
                return (frame.seq, update.stage);
            }
        }
    }

    async fn refused(&mut self) -> (u64, String) {
        match self.next().await {
            (channel, Event::Refused(refused)) => (channel, refused.reason),
            other => panic!("not a refusal: {other:?}"),
        }
    }
}

/// Reads events until the stream fails; returns why.
async fn fails(events: &mut Streaming<ConnectResponse>) -> (Code, &'static str) {
    let failing = async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended in peace"),
                Err(status) => return (status.code(), Failure::from_status(&status).reason().id),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), failing).await.expect("it ends")
}

/// Writes `count` updates into the session's log.
pub(crate) async fn write(mesh: &Mesh, session: &str, count: u32) {
    let context = ExecutionContext::agent("agent-ventas".parse().expect("an id"));
    let mut action = Action::root(tenant(), Tier::Professional, context, &AgentRun::default());
    action.session = Some(session.parse().expect("an id"));
    let appends = (0..count).map(|number| {
        let update = TaskUpdate { stage: format!("step {number}"), ..TaskUpdate::default() };
        Append::progress(&action, Body::TaskUpdate(update))
    });
    mesh.kit.sessions.append_many(&Log::of(&action), appends.collect()).await.expect("written");
}

#[tokio::test]
async fn a_gateway_follows_sessions_of_many_tenants_over_one_stream() {
    let mesh = Mesh::start().await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(7, "tenant-1", "sess-live").await;
    stream.attach(8, "tenant-2", "sess-live").await;
    let mut attached = Vec::new();
    while attached.len() < 2 {
        if let (channel, Event::Attached(told)) = stream.next().await {
            assert_eq!(told.top, 0);
            attached.push(channel);
        }
    }
    write(&mesh, "sess-live", 2).await;
    assert_eq!(stream.frame(7).await, (1, "step 0".to_owned()), "the same session of another tenant is another one");
    assert_eq!(stream.frame(7).await, (2, "step 1".to_owned()));
}

#[tokio::test]
async fn a_tenant_follows_its_own_sessions_only() {
    let mesh = Mesh::start().await;
    let mut stream = Stream::open(mesh.tenant("tenant-2", Tier::Enterprise)).await;
    stream.attach(1, "tenant-1", "sess-live").await;
    assert_eq!(stream.refused().await, (1, "TENANT_MISMATCH".to_owned()));
    stream.attach(2, "tenant-2", "sess-live").await;
    assert!(matches!(stream.next().await, (2, Event::Attached(_))));
}

#[tokio::test]
async fn following_goes_on_after_what_was_acknowledged_or_seen() {
    let mesh = Mesh::start().await;
    write(&mesh, "sess-back", 5).await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-back").await;
    let (_, Event::Attached(attached)) = stream.next().await else { panic!("attached comes first") };
    assert_eq!((attached.top, attached.after), (5, 0));
    for seq in 1..=5 {
        assert_eq!(stream.frame(1).await.0, seq);
    }
    let epoch = attached.epoch;
    stream.say(1, Command::Acknowledge(Acknowledge { epoch: epoch.clone(), seq: 3 })).await;
    let key = "{ns:tenant-1:s:sess-back}:meta";
    testkit::eventually(Duration::from_secs(5), || async { mesh.redis.command(&["HGET", key, "acked"]) == "3" }).await;

    let mut again = Stream::open(mesh.gateway()).await;
    again.attach(1, "tenant-1", "sess-back").await;
    assert_eq!(again.frame(1).await.0, 4, "after the last acknowledged frame");
    let seen =
        Attach { tenant_id: "tenant-1".into(), session_id: "sess-back".into(), epoch, after: 4, ..Attach::default() };
    again.say(2, Command::Attach(seen)).await;
    loop {
        if let (2, Event::Frame(frame)) = again.next().await {
            assert_eq!(frame.seq, 5, "after the position that was seen");
            break;
        }
    }
}

#[tokio::test]
async fn a_channel_with_much_to_say_does_not_hold_up_the_others() {
    let mesh = Mesh::start().await;
    for _ in 0..20 {
        write(&mesh, "sess-loud", 40).await;
    }
    write(&mesh, "sess-calm", 1).await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-loud").await;
    stream.attach(2, "tenant-1", "sess-calm").await;
    let mut before = 0;
    loop {
        match stream.next().await {
            (2, Event::Frame(_)) => break,
            (1, Event::Frame(_)) => before += 1,
            _ => {}
        }
    }
    assert!(before < 700, "the calm session waited for {before} frames of the loud one");
}

#[tokio::test]
async fn a_detached_channel_is_silent_and_a_channel_can_be_used_again() {
    let mesh = Mesh::start().await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-left").await;
    assert!(matches!(stream.next().await, (1, Event::Attached(_))));
    stream.say(1, Command::Detach(Detach {})).await;
    stream.say(1, Command::Acknowledge(Acknowledge::default())).await;
    loop {
        // What was told before the command came may still arrive.
        if let (1, Event::Refused(refused)) = stream.next().await {
            assert_eq!(refused.reason, "NOT_FOUND");
            break;
        }
    }
    write(&mesh, "sess-left", 1).await;
    write(&mesh, "sess-next", 1).await;
    stream.attach(1, "tenant-1", "sess-next").await;
    assert_eq!(stream.frame(1).await, (1, "step 0".to_owned()));
}

#[tokio::test]
async fn more_channels_than_a_stream_may_have_and_bad_names_are_refused() {
    let mesh = Mesh::with(Config { max_channels: 1, ..Config::default() }).await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "a b").await;
    assert_eq!(stream.refused().await, (1, "INVALID_FIELD".to_owned()));
    stream.attach(2, "", "sess-one").await;
    assert_eq!(stream.refused().await, (2, "INVALID_FIELD".to_owned()));
    stream.attach(3, "tenant-1", "sess-one").await;
    assert!(matches!(stream.next().await, (3, Event::Attached(_))));
    stream.attach(4, "tenant-1", "sess-two").await;
    loop {
        if let (4, event) = stream.next().await {
            assert!(matches!(event, Event::Refused(refused) if refused.reason == "OVERLOADED"));
            break;
        }
    }
}

#[tokio::test]
async fn a_delivery_stands_in_the_timeline_of_its_task() {
    let mesh = Mesh::start().await;
    let request = SendMessageRequest { session_id: "sess-told".into(), ..message("hola", "sess-told") };
    let task = mesh.send(request).await.expect("accepted").task.expect("a task").task_id;
    let stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-told").await;
    stream.say(1, Command::Delivered(Delivered { task_id: task.clone(), at: None })).await;
    let id = task.parse().expect("an id");
    testkit::eventually(Duration::from_secs(5), || async {
        let task = mesh.kit.queue.task(&tenant(), id).await.expect("readable").expect("a task");
        task.events.iter().any(|event| event.name == "delivered")
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_nothing_is_followed_and_no_command_can_come() {
    let mesh = Mesh::start().await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-bye").await;
    assert!(matches!(stream.next().await, (1, Event::Attached(_))));
    stream.say(1, Command::Detach(Detach {})).await;
    drop(stream.commands);
    let ending = async { while stream.events.message().await.expect("it ends in peace").is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ending).await.expect("it ends");
}

#[tokio::test]
async fn a_stream_ends_when_the_process_drains() {
    let mut mesh = Mesh::start().await;
    let mut stream = Stream::open(mesh.gateway()).await;
    stream.attach(1, "tenant-1", "sess-end").await;
    assert!(matches!(stream.next().await, (1, Event::Attached(_))));
    mesh.stop().await;
    while let Ok(Some(_)) = stream.events.message().await {}
}

#[tokio::test]
async fn a_stream_from_outside_follows_64_sessions_at_most() {
    let mesh = Mesh::start().await;
    let mut stream = Stream::open_outside(&mesh).await;
    for channel in 1..=65 {
        stream.attach(channel, "tenant-1", &format!("sess-{channel}")).await;
    }
    let mut attached = 0;
    let refused = loop {
        match stream.next().await {
            (channel, Event::Refused(refused)) => break (channel, refused.reason),
            (_, Event::Attached(_)) => attached += 1,
            _ => {}
        }
    };
    assert_eq!(refused, (65, "OVERLOADED".to_owned()));
    while attached < 64 {
        if let (_, Event::Attached(_)) = stream.next().await {
            attached += 1;
        }
    }
}

#[tokio::test]
async fn a_stream_from_outside_that_says_too_much_ends_and_one_of_the_mesh_does_not() {
    let mesh = Mesh::start().await;
    let (mut outside, mut gateway) = (Stream::open_outside(&mesh).await, Stream::open(mesh.gateway()).await);
    for stream in [&mut outside, &mut gateway] {
        stream.attach(1, "tenant-1", "sess-busy").await;
        assert!(matches!(stream.next().await, (1, Event::Attached(_))));
    }
    let acknowledge = || Command::Acknowledge(Acknowledge::default());
    let flooding = async {
        // The stream may end while more is being said.
        while outside.commands.send(ConnectRequest { channel: 1, command: Some(acknowledge()) }).await.is_ok() {}
    };
    let failed = tokio::select! {
        failed = fails(&mut outside.events) => failed,
        () = flooding => fails(&mut outside.events).await,
    };
    assert_eq!(failed, (Code::ResourceExhausted, "OVERLOADED"));
    for _ in 0..500 {
        gateway.say(1, acknowledge()).await;
    }
    gateway.attach(2, "tenant-1", "sess-calm").await;
    while !matches!(gateway.next().await, (2, Event::Attached(_))) {}
}

#[tokio::test]
async fn what_an_outside_caller_says_of_a_delivery_is_ignored() {
    let mesh = Mesh::start().await;
    let task = mesh.send(message("hola", "sess-lied")).await.expect("accepted").task.expect("a task").task_id;
    let mut stream = Stream::open_outside(&mesh).await;
    stream.attach(1, "tenant-1", "sess-lied").await;
    stream.say(1, Command::Delivered(Delivered { task_id: task.clone(), at: None })).await;
    stream.say(1, Command::Acknowledge(Acknowledge::default())).await;
    // Commands are obeyed in their order: once the next one was, this one was.
    stream.attach(2, "tenant-1", "sess-after").await;
    while !matches!(stream.next().await, (2, Event::Attached(_))) {}
    let id = task.parse().expect("an id");
    let task = mesh.kit.queue.task(&tenant(), id).await.expect("readable").expect("a task");
    assert!(task.events.iter().all(|event| event.name != "delivered"), "{:?}", task.events);
}

#[tokio::test]
async fn a_stream_from_outside_ends_after_a_while_so_that_its_caller_proves_itself_again() {
    let mesh = Mesh::adjusted(Config::default(), |kit| kit.proof = Duration::from_millis(200)).await;
    let (mut outside, mut gateway) = (Stream::open_outside(&mesh).await, Stream::open(mesh.gateway()).await);
    for stream in [&mut outside, &mut gateway] {
        stream.attach(1, "tenant-1", "sess-long").await;
    }
    assert_eq!(fails(&mut outside.events).await, (Code::Unavailable, "DRAINING"));
    while !matches!(gateway.next().await, (1, Event::Attached(_))) {}
    write(&mesh, "sess-long", 1).await;
    assert_eq!(gateway.frame(1).await.1, "step 0");
}
