use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use action::{Action, AgentId, ExecutionContext, time};
use fault::{Failure, reason};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::orchestrator_service_server::OrchestratorService;
use proto::orchestrator::v1::{
    Attached, ConnectRequest, ConnectResponse, Resumed, SendMessageRequest, SendMessageResponse,
};
use proto::task::v1::Frame;
use proto::task::v1::frame::Body;
use queue::Queue;
use service_kit::{Caller, Identity};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Request, Response, Status, Streaming};

type Session = (String, String);
type Outgoing = mpsc::UnboundedSender<ConnectResponse>;

/// Keeps session logs in memory and puts messages into the queue of the test's Redis. Clones are processes of one mesh.
#[derive(Clone)]
pub(crate) struct Orchestrator {
    queue: Queue,
    state: Arc<Mutex<State>>,
    /// Messages are answered while this has a permit.
    pub(crate) held: Arc<Semaphore>,
}

struct Followed {
    stream: Outgoing,
    channel: u64,
    log: Session,
    /// The only task whose frames are told; all when empty.
    task: String,
}

impl Followed {
    fn wants(&self, frame: &Frame) -> bool {
        self.task.is_empty() || self.task == frame.task_id
    }
}

#[derive(Default)]
struct State {
    logs: HashMap<Session, Vec<Frame>>,
    followers: Vec<Followed>,
    streams: u32,
    commands: Vec<Command>,
    sent: Vec<(SendMessageRequest, Caller)>,
}

impl Orchestrator {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, state: Arc::default(), held: Arc::new(Semaphore::new(1)) }
    }

    /// The same mesh, seen by another process.
    pub(crate) fn beside(&self, queue: Queue) -> Self {
        Self { queue, state: Arc::clone(&self.state), held: Arc::clone(&self.held) }
    }

    /// Appends to a session's log, and tells whoever follows.
    pub(crate) fn append(&self, tenant: &str, session: &str, task_id: &str, body: Body) {
        let mut state = self.state.lock().unwrap();
        let key = (tenant.to_owned(), session.to_owned());
        let log = state.logs.entry(key.clone()).or_default();
        let frame = Frame {
            epoch: "e1".to_owned(),
            seq: log.len() as u64 + 1,
            at: Some(time::to_proto(SystemTime::now())),
            task_id: task_id.to_owned(),
            session_id: match session.split_once(' ') {
                Some(("agent", _)) => "session-9".to_owned(),
                Some(_) => String::new(),
                None => session.to_owned(),
            },
            tenant_id: tenant.to_owned(),
            tier: action::Tier::Professional.to_proto().into(),
            trace: None,
            body: Some(body),
        };
        log.push(frame.clone());
        for followed in state.followers.iter().filter(|followed| followed.log == key && followed.wants(&frame)) {
            let _gone = followed.stream.send(event(followed.channel, Event::Frame(frame.clone())));
        }
    }

    /// Ends every stream, as a process that dies does.
    pub(crate) fn break_streams(&self) {
        self.state.lock().unwrap().followers.clear();
    }

    /// Returns how many streams were opened so far.
    pub(crate) fn streams(&self) -> u32 {
        self.state.lock().unwrap().streams
    }

    /// Returns how many sockets are followed.
    pub(crate) fn followers(&self) -> usize {
        self.state.lock().unwrap().followers.len()
    }

    pub(crate) fn commands(&self) -> Vec<Command> {
        self.state.lock().unwrap().commands.clone()
    }

    pub(crate) fn sent(&self) -> Vec<(SendMessageRequest, Caller)> {
        self.state.lock().unwrap().sent.clone()
    }

    fn obey(&self, stream: &Outgoing, request: ConnectRequest) {
        let mut state = self.state.lock().unwrap();
        let Some(command) = request.command else { return };
        state.commands.push(command.clone());
        let channel = request.channel;
        match command {
            Command::Attach(attach) => {
                let fresh = attach.epoch.is_empty() && !attach.agent_id.is_empty();
                let name = match (attach.agent_id.as_str(), attach.session_id) {
                    ("", session) if session.is_empty() => of_task(&attach.task_id),
                    ("", session) => session,
                    (agent, _) => of_agent(agent),
                };
                let key = (attach.tenant_id, name);
                let followed = Followed { stream: stream.clone(), channel, log: key.clone(), task: attach.task_id };
                let log = state.logs.entry(key.clone()).or_default().clone();
                let top = log.len() as u64;
                let after = if fresh { top } else { attach.after.min(top) };
                let _gone =
                    stream.send(event(channel, Event::Attached(Attached { epoch: "e1".to_owned(), top, after })));
                for frame in log.into_iter().filter(|frame| frame.seq > after && followed.wants(frame)) {
                    let _gone = stream.send(event(channel, Event::Frame(frame)));
                }
                let resumed = Resumed { from: after + 1, to: top, epoch: "e1".to_owned() };
                let _gone = stream.send(event(channel, Event::Resumed(resumed)));
                state.followers.push(followed);
            }
            Command::Detach(_) => {
                let same = |other: &Followed| other.channel == channel && other.stream.same_channel(stream);
                state.followers.retain(|other| !same(other));
            }
            Command::Acknowledge(_) | Command::Delivered(_) => {}
        }
    }
}

/// Returns where the fake keeps what it tells about an agent.
pub(crate) fn of_agent(agent: &str) -> String {
    format!("agent {agent}")
}

/// Returns where the fake keeps the log of a task without a session.
pub(crate) fn of_task(task: &str) -> String {
    format!("task {task}")
}

fn event(channel: u64, event: Event) -> ConnectResponse {
    ConnectResponse { channel, event: Some(event) }
}

#[tonic::async_trait]
impl OrchestratorService for Orchestrator {
    type ConnectStream = BoxStream<'static, Result<ConnectResponse, Status>>;

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let request = request.into_inner();
        let tenant = caller.tenant.clone().ok_or_else(|| Failure::new(&reason::ACCESS_DENIED, "no tenant"))?;
        self.state.lock().unwrap().sent.push((request.clone(), caller));
        let holding = self.held.clone();
        let _let_go = holding.acquire().await;
        let agent: AgentId = request.agent_id.parse()?;
        let run = request.run.unwrap_or_default();
        let mut action = Action::root(tenant.id, tenant.tier, ExecutionContext::agent(agent), &run);
        action.session = Some(request.session_id).filter(|id| !id.is_empty()).map(|id| id.parse()).transpose()?;
        let submitted = self.queue.submit(action).await?;
        Ok(Response::new(SendMessageResponse {
            task: Some(submitted.task),
            queue_name: submitted.queue_name.to_string(),
            estimated_time: Some(time::duration_to_proto(std::time::Duration::from_millis(1500))),
        }))
    }

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        assert!(Caller::of(&request)?.inside().is_ok(), "the gateway says who it is");
        assert_eq!(service_kit::Identity::from(Caller::of(&request)?).of_tenant(), Identity::service().of_tenant());
        self.state.lock().unwrap().streams += 1;
        let (sender, receiver) = mpsc::unbounded_channel();
        let (fake, mut commands) = (self.clone(), request.into_inner());
        let obeying = async move {
            // The senders live with the followers: when those are gone, the stream ends.
            let weak = sender.downgrade();
            let mut first = Some(sender);
            while let Some(Ok(request)) = commands.next().await {
                let Some(stream) = first.take().or_else(|| weak.upgrade()) else { return };
                fake.obey(&stream, request);
            }
        };
        tokio::spawn(obeying);
        let events = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (Ok(event), receiver))
        });
        Ok(Response::new(events.boxed()))
    }
}
