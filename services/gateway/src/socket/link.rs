//! One stream to an orchestrator, kept alive: when it breaks, it is opened again, to another one if need be, and every
//! socket goes on from what it was handed last.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use action::{TaskId, time};
use proto::orchestrator::v1::{ConnectRequest, ConnectResponse, Delivered};
use service_kit::Orchestrators;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::Position;
use super::follow::{Follower, Followers, SocketId};

/// Requests that wait to be sent. More mean that the stream does not move, and it is opened again.
const OUTGOING: usize = 8192;
/// How often sockets that are not followed are looked at.
const LOOK: Duration = Duration::from_millis(10);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// What a socket wants of its link.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begins to follow.
    Open(SocketId, Box<Follower>),
    /// Ends.
    Close(SocketId),
    /// Goes on from a position that the client names.
    Resume(SocketId, Position),
    /// Everything up to a position was dealt with.
    Acknowledge(SocketId, Option<String>, u64),
    /// The final frame of a task was written.
    Delivered(SocketId, TaskId),
}

/// See the module.
pub(crate) struct Link {
    /// Whoever there is at the moment, and the number of the preferred one.
    orchestrators: Orchestrators,
    preferred: usize,
    commands: mpsc::Receiver<Command>,
    followers: Followers,
    failures: u32,
}

/// An open stream.
struct Stream {
    outgoing: mpsc::Sender<ConnectRequest>,
    incoming: Streaming<ConnectResponse>,
}

impl Link {
    pub(crate) fn new(orchestrators: Orchestrators, preferred: usize, commands: mpsc::Receiver<Command>) -> Self {
        Self { orchestrators, preferred, commands, followers: Followers::default(), failures: 0 }
    }

    /// Runs until every handle is gone.
    pub(crate) async fn run(mut self) {
        loop {
            while self.followers.is_empty() {
                let Some(command) = self.commands.recv().await else { return };
                self.note(command);
            }
            let flow = match self.connect().await {
                ControlFlow::Continue(Some(stream)) => self.carry(stream).await,
                ControlFlow::Continue(None) => ControlFlow::Continue(()),
                ControlFlow::Break(()) => ControlFlow::Break(()),
            };
            self.followers.disconnect();
            if flow.is_break() || self.pause().await.is_break() {
                return;
            }
        }
    }

    /// Opens a stream to the next orchestrator; sockets come and go meanwhile.
    async fn connect(&mut self) -> ControlFlow<(), Option<Stream>> {
        let mut client = self.orchestrators.client(self.preferred.wrapping_add(self.failures as usize));
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        // Sent with the call: an orchestrator may read the first request before it answers.
        for id in self.followers.ids() {
            for request in self.followers.attach(id) {
                let _full = outgoing.try_send(request);
            }
        }
        let requests = futures::stream::unfold(requests, |mut requests| async move {
            requests.recv().await.map(|request| (request, requests))
        });
        let opening = async move { client.connect(requests).await };
        tokio::pin!(opening);
        loop {
            tokio::select! {
                opened = &mut opening => {
                    return ControlFlow::Continue(match opened {
                        Ok(response) => Some(Stream { outgoing, incoming: response.into_inner() }),
                        Err(status) => {
                            self.failures = self.failures.saturating_add(1);
                            tracing::warn!(code = ?status.code(), failures = self.failures, "orchestrator is away");
                            None
                        }
                    });
                }
                command = self.commands.recv() => match command {
                    Some(command) => {
                        for request in self.perform(command) {
                            let _full = outgoing.try_send(request);
                        }
                    }
                    None => return ControlFlow::Break(()),
                },
            }
        }
    }

    /// Moves requests and responses until the stream breaks.
    async fn carry(&mut self, mut stream: Stream) -> ControlFlow<()> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let requests = tokio::select! {
                response = stream.incoming.message() => match response {
                    Ok(Some(response)) => {
                        self.failures = 0;
                        self.followers.handle(response).into_iter().collect()
                    }
                    Ok(None) => return self.broken("the stream ended"),
                    Err(status) => return self.broken(status.code().description()),
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.perform(command),
                    None => return ControlFlow::Break(()),
                },
                _ = look.tick(), if self.followers.any_detached() => self.catch_up(),
            };
            for request in requests {
                if stream.outgoing.try_send(request).is_err() {
                    return self.broken("the stream does not move");
                }
            }
        }
    }

    fn broken(&mut self, why: &str) -> ControlFlow<()> {
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(why, "stream to the orchestrator broke");
        ControlFlow::Continue(())
    }

    fn catch_up(&mut self) -> Vec<ConnectRequest> {
        let mut requests = self.followers.sweep();
        for id in self.followers.due() {
            requests.extend(self.followers.attach(id));
        }
        requests
    }

    /// Waits before the next try, longer every time and never the same for two processes.
    async fn pause(&mut self) -> ControlFlow<()> {
        let delay = FIRST_DELAY.saturating_mul(1 << self.failures.min(6)).min(LONGEST_DELAY);
        let end = tokio::time::Instant::now() + delay.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return ControlFlow::Continue(()),
                command = self.commands.recv() => match command {
                    Some(command) => self.note(command),
                    None => return ControlFlow::Break(()),
                },
            }
        }
    }

    /// Does what a socket wants while there is no stream.
    fn note(&mut self, command: Command) {
        let _unsent = self.apply(command);
    }

    /// Does what a socket wants and returns what the orchestrator is told.
    fn perform(&mut self, command: Command) -> Vec<ConnectRequest> {
        let opened = if let Command::Open(id, _) = &command { Some(*id) } else { None };
        let mut requests = self.apply(command);
        requests.extend(opened.into_iter().flat_map(|id| self.followers.attach(id)));
        requests
    }

    fn apply(&mut self, command: Command) -> Vec<ConnectRequest> {
        match command {
            Command::Open(id, follower) => {
                self.followers.insert(id, *follower);
                Vec::new()
            }
            Command::Close(id) => self.followers.remove(id).into_iter().collect(),
            Command::Resume(id, from) => self.followers.resume(id, from),
            Command::Acknowledge(id, epoch, seq) => self.followers.acknowledge(id, epoch, seq).into_iter().collect(),
            Command::Delivered(id, task) => {
                let delivered = Delivered { task_id: task.to_string(), at: Some(time::to_proto(SystemTime::now())) };
                self.followers.delivered(id, delivered).into_iter().collect()
            }
        }
    }
}
