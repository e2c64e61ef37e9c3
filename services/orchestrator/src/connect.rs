//! A gateway follows sessions: one stream carries all of its sockets, each as a numbered channel.
//!
//! Nothing is buffered here. The logs of all channels are read when the gateway takes the next event, each in its turn, so a
//! channel that has much to say does not hold up the others, and what a slow gateway has not taken yet stays in the logs.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use action::{TaskId, TenantId};
use fault::{Failure, Fault as _, reason};
use futures::future::{BoxFuture, ready};
use futures::stream::{AbortHandle, Abortable, BoxStream, FuturesUnordered, SelectAll};
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response;
use proto::orchestrator::v1::{Acknowledge, Attach, ConnectRequest, ConnectResponse, Delivered, Refused};
use queue::Queue;
use service_kit::identity::{Standing, while_proved};
use service_kit::{Bucket, Caller};
use session::{Event, Log, Position, Sessions, Start};
use tonic::Status;

use crate::Error;

/// Acknowledgements and notes of one stream that are on their way to Redis at a time; while there are as many, further
/// commands wait in the transport.
const MOST_ERRANDS: usize = 256;

/// Sessions that one stream of a caller from outside may follow.
const MOST_OUTSIDE: usize = 64;
/// Most commands of an outside caller at once …
const BURST: u32 = 100;
/// … and every second after that.
const PER_SECOND: u32 = 50;

/// What a gateway is told.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<ConnectResponse, Status>> + Send>>;

/// Follows sessions for gateways. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) sessions: Sessions,
    pub(crate) queue: Queue,
    pub(crate) max_channels: usize,
    /// How long a stream of a caller from outside lasts.
    pub(crate) proof: Duration,
}

/// One stream of a gateway, or of a tenant.
pub(crate) struct Connection {
    follower: Follower,
    caller: Caller,
    standing: Standing,
    max_channels: usize,
    /// What a caller from outside may still say; services of the mesh say what they want.
    bucket: Option<Bucket>,
    channels: HashMap<u64, Channel>,
    logs: SelectAll<BoxStream<'static, (u64, Result<Event, Error>)>>,
    errands: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// A session that is followed.
struct Channel {
    log: Log,
    stop: AbortHandle,
}

impl Connection {
    /// Accepts a stream of a service of the mesh, or of a tenant for its own sessions.
    pub(crate) fn new(follower: Follower, standing: Standing) -> Result<Self, Failure> {
        let caller = standing.caller().clone();
        let outside = caller.is_outside();
        if outside {
            caller.tenant()?;
        }
        let most = if outside { MOST_OUTSIDE } else { usize::MAX };
        Ok(Self {
            max_channels: follower.max_channels.min(most),
            bucket: outside.then(|| Bucket::new(BURST, PER_SECOND, tokio::time::Instant::now())),
            follower,
            caller,
            standing,
            channels: HashMap::new(),
            logs: SelectAll::new(),
            errands: FuturesUnordered::new(),
        })
    }

    /// Returns what is told in answer to `commands`. It ends when the transport breaks, or when no command can come any more
    /// and nothing is followed; the host ends it when the process drains. It fails when a caller from outside says more than
    /// it may, or has to prove itself again.
    pub(crate) fn events(
        self,
        commands: impl Stream<Item = Result<ConnectRequest, Status>> + Send + Unpin + 'static,
    ) -> Events {
        let (standing, proof) = (self.standing.clone(), self.follower.proof);
        let next = |state: Option<(Self, stream::Fuse<_>)>| async {
            let (mut connection, mut commands) = state?;
            match connection.next(&mut commands).await.transpose()? {
                Ok(event) => Some((Ok(event), Some((connection, commands)))),
                Err(failure) => Some((Err(failure.into()), None)),
            }
        };
        while_proved(standing, proof, stream::unfold(Some((self, commands.fuse())), next).boxed())
    }

    async fn next<S>(&mut self, commands: &mut stream::Fuse<S>) -> Result<Option<ConnectResponse>, Failure>
    where
        S: Stream<Item = Result<ConnectRequest, Status>> + Unpin,
    {
        loop {
            let ended = commands.is_done();
            if ended && self.logs.is_empty() && self.errands.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                command = commands.next(), if !ended && self.errands.len() < MOST_ERRANDS => match command {
                    Some(Ok(request)) => {
                        self.count()?;
                        if let Some(refused) = self.obey(request) {
                            return Ok(Some(refused));
                        }
                    }
                    Some(Err(_)) => return Ok(None),
                    None => {}
                },
                Some((channel, event)) = self.logs.next(), if !self.logs.is_empty() => {
                    return Ok(Some(self.tell(channel, event)));
                }
                Some(()) = self.errands.next(), if !self.errands.is_empty() => {}
                // The last channels were left; what follows from that is decided above.
                else => {}
            }
        }
    }

    /// Counts a command of a caller from outside: each costs a call of Redis, or many.
    fn count(&mut self) -> Result<(), Failure> {
        if self.bucket.as_mut().is_none_or(|bucket| bucket.take(tokio::time::Instant::now())) {
            return Ok(());
        }
        let text = "this stream says more than it may: 50 commands a second, 100 at once";
        Err(Failure::new(&reason::OVERLOADED, text).retry_after(Duration::from_secs(2)))
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
        if self.channels.len() >= self.max_channels {
            return Err(Failure::new(&reason::OVERLOADED, "this stream follows as many sessions as it may").into());
        }
        let tenant = self.tenant(&attach.tenant_id)?;
        let granted = self.granted(&tenant, &attach)?;
        let (log, fresh) = log_of(&tenant, &attach)?;
        let from = match attach.epoch {
            epoch if epoch.is_empty() => fresh,
            epoch => Start::After(Position { epoch, seq: attach.after }),
        };
        let (stop, registration) = AbortHandle::new_pair();
        let only = attach.task_id;
        let wanted = move |event: &Result<Event, session::Error>| match event {
            Ok(Event::Frame(frame)) => only.is_empty() || frame.task_id == only,
            _ => true,
        };
        let events = self.follower.sessions.follow(log.clone(), from);
        let events = events.filter(move |event| ready(wanted(event))).map(|event| event.map_err(Error::from));
        // A refusal comes first, and nothing after it: the channel is left.
        let refusal = stream::once(granted).filter_map(|granted| ready(granted.err().map(Err)));
        let events = refusal.chain(events).map(move |event| (channel, event));
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

    /// Looks whether a credential that is limited may follow what is named: an agent only if it is none's in particular, whose
    /// updates name the tasks of everybody; a task if it may see it.
    fn granted(&self, tenant: &TenantId, attach: &Attach) -> Result<BoxFuture<'static, Result<(), Error>>, Error> {
        if !attach.agent_id.is_empty() {
            self.caller.assert_agent(&attach.agent_id.parse()?)?;
            if self.caller.is_outside() && self.caller.user.is_some() {
                let text = "an agent's updates are not for the credential of one person";
                return Err(Failure::new(&reason::ACCESS_DENIED, text).field("agent_id").into());
            }
        }
        if attach.task_id.is_empty() || !self.caller.is_outside() || !self.caller.is_limited() {
            return Ok(ready(Ok(())).boxed());
        }
        let (queue, caller, tenant) = (self.follower.queue.clone(), self.caller.clone(), tenant.clone());
        let task: TaskId = attach.task_id.parse()?;
        let look = async move {
            let found = queue.task(&tenant, task).await.map_err(|error| error.failure())?;
            let missing = || Failure::new(&reason::TASK_NOT_FOUND, "there is no such task").field("task_id");
            Ok(found.filter(|task| caller.may_see(task)).map(drop).ok_or_else(missing)?)
        };
        Ok(look.boxed())
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

    /// Notes a delivery; only a gateway knows of one, so what others say about it is ignored.
    fn delivered(&mut self, channel: u64, delivered: &Delivered) -> Result<(), Error> {
        if self.caller.is_outside() {
            return Ok(());
        }
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
    fn tell(&mut self, channel: u64, event: Result<Event, Error>) -> ConnectResponse {
        match event {
            Ok(event) => ConnectResponse { channel, event: Some(event.into_proto()) },
            Err(error) => {
                self.detach(channel);
                refused(channel, &error.failure())
            }
        }
    }
}

/// Returns the log that shall be followed, and where to start in it without a position.
fn log_of(tenant: &TenantId, attach: &Attach) -> Result<(Log, Start), Error> {
    if !attach.agent_id.is_empty() {
        return Ok((Log::agent(tenant, &attach.agent_id.parse()?), Start::Now));
    }
    if attach.task_id.is_empty() {
        return Ok((Log::session(tenant, &attach.session_id.parse()?), Start::Acknowledged));
    }
    let task: TaskId = attach.task_id.parse()?;
    let log = if attach.session_id.is_empty() {
        Log::task(tenant, task)
    } else {
        Log::session(tenant, &attach.session_id.parse()?)
    };
    Ok((log, Start::Beginning))
}

fn refused(channel: u64, failure: &Failure) -> ConnectResponse {
    let refused = Refused { reason: failure.reason().id.to_owned(), message: failure.detail().to_owned() };
    ConnectResponse { channel, event: Some(connect_response::Event::Refused(refused)) }
}
