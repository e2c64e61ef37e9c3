//! A log of one's own and a client that checks what it is told.

use std::time::{Duration, SystemTime};

use action::{Action, Delivery, ExecutionContext, TaskId, TenantId, Tier};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use proto::execution::v1::AgentRun;
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentDelta, AgentResponse, Frame, TypingIndicator};
use session::{Append, Config, Error, Event, Gap, Log, Position, Sessions, Start};

/// Long enough for a slow machine, short enough to notice that nothing comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server, a handle and a log.
pub(crate) struct World {
    pub(crate) redis: testkit::Redis,
    pub(crate) sessions: Sessions,
    pub(crate) log: Log,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(testkit::Redis::start().await, Config::default()).await
    }

    pub(crate) async fn with(redis: testkit::Redis, config: Config) -> Self {
        let sessions = open(&redis, config).await;
        Self { redis, sessions, log: log("web-1") }
    }

    pub(crate) async fn append(&self, append: Append) -> Result<u64, Error> {
        self.sessions.append(&self.log, append).await.map(|appended| appended.seq)
    }

    pub(crate) async fn all(&self) -> Vec<Frame> {
        self.sessions.read(&self.log, Position::default(), 10_000).await.expect("the log is read").frames
    }

    /// Returns a key of the log.
    pub(crate) fn key(part: &str) -> String {
        format!("{{ns:acme:s:web-1}}:{part}")
    }

    pub(crate) fn follow(&self, from: Start) -> Client {
        Client::new(self.sessions.follow(self.log.clone(), from).boxed())
    }
}

pub(crate) async fn open(redis: &testkit::Redis, config: Config) -> Sessions {
    let redis = broker::Redis::connect(&redis.url()).await.expect("the server is there");
    Sessions::start(redis, config).await.expect("sessions start")
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().expect("a tenant")
}

pub(crate) fn log(session: &str) -> Log {
    Log::session(&tenant(), &session.parse().expect("a session"))
}

/// An action as a worker holds it in some attempt; attempts have growing fences.
pub(crate) fn attempt(task: TaskId, attempt: u32) -> Action {
    let context = ExecutionContext::agent("agent-1".parse().expect("an agent"));
    let mut action = Action::root(tenant(), Tier::Free, context, &AgentRun::default());
    action.task = task;
    action.session = Some("web-1".parse().expect("a session"));
    action.delivery = Some(Delivery {
        queue: action.queue().expect("a queue"),
        enqueued_at: SystemTime::UNIX_EPOCH,
        claimed_at: SystemTime::UNIX_EPOCH,
        attempt,
        fence: u64::from(attempt) * 10,
        remaining: Duration::from_secs(30),
    });
    action
}

pub(crate) fn delta(action: &Action, index: u32, text: &str) -> Append {
    let body = AgentDelta { attempt: action.attempt(), index, text: text.to_owned() };
    Append::progress(action, Body::AgentDelta(body))
}

pub(crate) fn typing(action: &Action) -> Append {
    Append::progress(action, Body::TypingIndicator(TypingIndicator { agent_id: "agent-1".to_owned() }))
}

pub(crate) fn last(action: &Action, text: &str) -> Append {
    Append::last(action, Body::AgentResponse(AgentResponse { response: text.to_owned(), ..AgentResponse::default() }))
}

/// One word for what a frame says.
pub(crate) fn said(frame: &Frame) -> String {
    match frame.body.as_ref().expect("a body") {
        Body::AgentDelta(delta) => delta.text.clone(),
        Body::AgentResponse(answer) => format!("={}", answer.response),
        Body::TaskUpdate(update) => format!("{}:{}", update.stage, update.attempt),
        Body::TypingIndicator(_) => "typing".to_owned(),
        Body::Error(_) => "error".to_owned(),
    }
}

/// A follower that remembers where it is and what it was told.
pub(crate) struct Client {
    stream: BoxStream<'static, Result<Event, Error>>,
    pub(crate) position: Position,
    pub(crate) frames: Vec<Frame>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) resumed: bool,
}

impl Client {
    pub(crate) fn new(stream: BoxStream<'static, Result<Event, Error>>) -> Self {
        Self { stream, position: Position::default(), frames: Vec::new(), gaps: Vec::new(), resumed: false }
    }

    /// Takes the next event in.
    pub(crate) async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("something comes in time");
        let event = event.expect("the stream does not end").expect("the stream does not fail");
        match &event {
            Event::Attached { epoch, after, .. } => self.position = Position { epoch: epoch.clone(), seq: *after },
            Event::Gap(gap) => {
                assert!(
                    gap.missed.as_ref().is_none_or(|missed| !missed.is_empty() && *missed.end() == gap.after),
                    "{gap:?}"
                );
                self.position = Position { epoch: gap.epoch.clone(), seq: gap.after };
                self.gaps.push(gap.clone());
            }
            Event::Frame(frame) => {
                assert_eq!(frame.epoch, self.position.epoch, "a frame of another epoch without a gap");
                assert!(frame.seq > self.position.seq, "a frame that was told before");
                self.position.seq = frame.seq;
                self.frames.push(frame.clone());
            }
            Event::Resumed { to, .. } => {
                self.position.seq = self.position.seq.max(*to);
                self.resumed = true;
            }
        }
        event
    }

    /// Takes events in until everything up to a position was told.
    pub(crate) async fn until(&mut self, seq: u64) {
        while self.position.seq < seq {
            self.next().await;
        }
    }

    pub(crate) async fn until_resumed(&mut self) {
        while !self.resumed {
            self.next().await;
        }
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.frames.iter().map(said).collect()
    }
}
