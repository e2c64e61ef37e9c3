//! A gateway follows sessions: one stream carries all of its sockets, each as a numbered channel.
//!
//! Nothing is buffered here. The logs of all channels are read when the gateway takes the next event, each in its turn, so a
//! channel that has much to say does not hold up the others, and what a slow gateway has not taken yet stays in the logs.

use std::collections::HashMap;
use std::pin::Pin;

use action::{TaskId, TenantId};
use fault::{Failure, Fault as _, reason};
use futures::future::BoxFuture;
use futures::stream::{AbortHandle, Abortable, BoxStream, FuturesUnordered, SelectAll};
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response;
use proto::orchestrator::v1::{Acknowledge, Attach, ConnectRequest, ConnectResponse, Delivered, Refused};
use queue::Queue;
use service_kit::Caller;
use session::{Event, Log, Position, Sessions, Start};
use tonic::Status;

use crate::Error;

/// Acknowledgements and notes of one stream that are on their way to Redis at a time; while there are as many, further
/// commands wait in the transport.
const MOST_ERRANDS: usize = 256;

/// What a gateway is told.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<ConnectResponse, Status>> + Send>>;

/// Follows sessions for gateways. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) sessions: Sessions,
    pub(crate) queue: Queue,
    pub(crate) max_channels: usize,
}

/// One stream of a gateway, or of a tenant.
pub(crate) struct Connection {
    follower: Follower,
    caller: Caller,
    channels: HashMap<u64, Channel>,
    logs: SelectAll<BoxStream<'static, (u64, Result<Event, session::Error>)>>,
    errands: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// A session that is followed.
struct Channel {
    log: Log,
    stop: AbortHandle,
}

impl Connection {
    /// Accepts a stream of a service of the mesh, or of a tenant for its own sessions.
    pub(crate) fn new(follower: Follower, caller: Caller) -> Result<Self, Failure> {
        if caller.service.is_none() {
            caller.tenant()?;
        }
        Ok(Self {
            follower,
            caller,
            channels: HashMap::new(),
            logs: SelectAll::new(),
            errands: FuturesUnordered::new(),
        })
    }

    /// Returns what is told in answer to `commands`. It ends when the transport breaks, or when no command can come any more
    /// and nothing is followed; the host ends it when the process drains.
    pub(crate) fn events(
        self,
        commands: impl Stream<Item = Result<ConnectRequest, Status>> + Send + Unpin + 'static,
    ) -> Events {
        let next = |(mut connection, mut commands): (Self, stream::Fuse<_>)| async move {
            let event = connection.next(&mut commands).await?;
            Some((Ok(event), (connection, commands)))
        };
        stream::unfold((self, commands.fuse()), next).boxed()
    }

    async fn next<S>(&mut self, commands: &mut stream::Fuse<S>) -> Option<ConnectResponse>
    where
        S: Stream<Item = Result<ConnectRequest, Status>> + Unpin,
    {
        loop {
            let ended = commands.is_done();
            if ended && self.logs.is_empty() && self.errands.is_empty() {
                return None;
            }
            tokio::select! {
                command = commands.next(), if !ended && self.errands.len() < MOST_ERRANDS => match command {
                    Some(Ok(request)) => if let Some(refused) = self.obey(request) {
                        return Some(refused);
                    },
                    Some(Err(_)) => return None,
                    None => {}
                },
                Some((channel, event)) = self.logs.next(), if !self.logs.is_empty() => {
                    return Some(self.tell(channel, event));
                }
                Some(()) = self.errands.next(), if !self.errands.is_empty() => {}
                // The last channels were left; what follows from that is decided above.
                else => {}
            }
        }
    }

    /// Does what the gateway wants; returns what it is told at once if that cannot be done.
    fn obey(&mut self, request: ConnectRequest) -> Option<ConnectResponse> {
        let channel = request.channel;
        let done = match request.command {
            Some(Command::Attach(attach)) => self.attach(channel, attach),
            Some(Command::Detach(_)) => {
                self.detach(channel);
                Ok(())
            }
            Some(Command::Acknowledge(acknowledge)) => self.acknowledge(channel, acknowledge),
            Some(Command::Delivered(delivered)) => self.delivered(channel, &delivered),
            None => Err(action::Error::Missing("command").into()),
        };
        done.err().map(|error: Error| refused(channel, &error.failure()))
    }

    /// Follows a session; a channel that follows another one already leaves it.
    fn attach(&mut self, channel: u64, attach: Attach) -> Result<(), Error> {
        self.detach(channel);
        if self.channels.len() >= self.follower.max_channels {
            return Err(Failure::new(&reason::OVERLOADED, "this stream follows as many sessions as it may").into());
        }
        let tenant = self.tenant(&attach.tenant_id)?;
        let log = Log::session(&tenant, &attach.session_id.parse()?);
        let from = match attach.epoch {
            epoch if epoch.is_empty() => Start::Acknowledged,
            epoch => Start::After(Position { epoch, seq: attach.after }),
        };
        let (stop, registration) = AbortHandle::new_pair();
        let events = self.follower.sessions.follow(log.clone(), from).map(move |event| (channel, event));
        self.logs.push(Abortable::new(events, registration).boxed());
        self.channels.insert(channel, Channel { log, stop });
        Ok(())
    }

    /// Returns the tenant whose session may be followed: any for a service on its own behalf, its own for everybody else.
    fn tenant(&self, named: &str) -> Result<TenantId, Error> {
        if self.caller.service.is_some() && self.caller.tenant.is_none() {
            return Ok(named.parse()?);
        }
        Ok(self.caller.acting_for(named)?)
    }

    fn detach(&mut self, channel: u64) {
        if let Some(followed) = self.channels.remove(&channel) {
            followed.stop.abort();
        }
    }

    fn acknowledge(&mut self, channel: u64, acknowledge: Acknowledge) -> Result<(), Error> {
        let (sessions, log) = (self.follower.sessions.clone(), self.followed(channel)?.log.clone());
        let errand = async move {
            if let Err(error) = sessions.acknowledge(&log, &acknowledge.epoch, acknowledge.seq).await {
                // The client starts after an earlier frame next time, and drops what it knows.
                tracing::debug!(%error, "an acknowledgement was lost");
            }
        };
        self.errands.push(errand.boxed());
        Ok(())
    }

    fn delivered(&mut self, channel: u64, delivered: &Delivered) -> Result<(), Error> {
        let task: TaskId = delivered.task_id.parse()?;
        let (queue, tenant) = (self.follower.queue.clone(), self.followed(channel)?.log.tenant().clone());
        let errand = async move {
            if let Err(error) = queue.note(&tenant, task, "delivered").await {
                tracing::debug!(%error, task_id = %task, "a delivery is missing in the timeline");
            }
        };
        self.errands.push(errand.boxed());
        Ok(())
    }

    fn followed(&self, channel: u64) -> Result<&Channel, Error> {
        let unknown = || Failure::new(&reason::NOT_FOUND, "the channel follows no session").field("channel");
        Ok(self.channels.get(&channel).ok_or_else(unknown)?)
    }

    /// Tells what a log says; one that cannot be read is not followed any more, and can be attached again from its position.
    fn tell(&mut self, channel: u64, event: Result<Event, session::Error>) -> ConnectResponse {
        match event {
            Ok(event) => ConnectResponse { channel, event: Some(event.into_proto()) },
            Err(error) => {
                self.detach(channel);
                refused(channel, &error.failure())
            }
        }
    }
}

fn refused(channel: u64, failure: &Failure) -> ConnectResponse {
    let refused = Refused { reason: failure.reason().id.to_owned(), message: failure.detail().to_owned() };
    ConnectResponse { channel, event: Some(connect_response::Event::Refused(refused)) }
}
