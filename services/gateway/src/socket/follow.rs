//! The bookkeeping of one stream to an orchestrator: which socket follows what, and how far it has come. No I/O.

use std::collections::HashMap;

use action::{AgentId, SessionId, TaskId, TenantId};
use fault::reason;
use proto::orchestrator::v1::connect_request::Command as Wire;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::{Acknowledge, Attach, ConnectRequest, ConnectResponse, Delivered, Detach, Refused};

use super::Position;
use super::mailbox::{Inlet, Push, Rejected};

/// Names a socket within the process.
pub(crate) type SocketId = u64;

/// Channels are named anew by every attach, so that what an earlier attach still sends is told apart.
type Channel = u64;

/// Looks that pass before a refusal is met again.
const REST: u32 = 100;

/// What is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Everything that a session's log says.
    Session(SessionId),
    /// How the tasks of an agent are getting on, from now on.
    Agent(AgentId),
    /// One task from its beginning, out of the log of its session, if it has one.
    Task(TaskId, Option<SessionId>),
}

impl What {
    /// Asks for it, after a position or where it begins.
    fn attach(&self, tenant: &TenantId, from: Position) -> Attach {
        let attach = Attach { tenant_id: tenant.to_string(), epoch: from.epoch, after: from.seq, ..Attach::default() };
        match self {
            Self::Session(session) => Attach { session_id: session.to_string(), ..attach },
            Self::Agent(agent) => Attach { agent_id: agent.to_string(), ..attach },
            Self::Task(task, session) => {
                let session_id = session.as_ref().map(ToString::to_string).unwrap_or_default();
                Attach { task_id: task.to_string(), session_id, ..attach }
            }
        }
    }
}

/// A socket that follows a session, or an agent.
#[derive(Debug)]
pub(crate) struct Follower {
    tenant: TenantId,
    what: What,
    inlet: Inlet,
    /// Last thing handed to the socket; where it asked to start before the first.
    position: Option<Position>,
    /// Last thing that the client dealt with.
    acknowledged: Option<Position>,
    channel: Option<Channel>,
    /// The client has not been told yet that its session is followed.
    unannounced: bool,
    /// The client waits to be told that it has everything.
    resuming: bool,
    /// The mailbox is full; the session is followed again when it is empty.
    lagging: bool,
    /// Looks to let pass before the session is followed again.
    rest: u32,
    /// Deliveries that the orchestrator has not been told of.
    untold: Vec<Delivered>,
}

impl Follower {
    pub(crate) fn new(tenant: TenantId, what: What, from: Option<Position>, inlet: Inlet) -> Self {
        let resuming = from.is_some();
        Self {
            tenant,
            what,
            inlet,
            position: from,
            acknowledged: None,
            channel: None,
            unannounced: true,
            resuming,
            lagging: false,
            rest: 0,
            untold: Vec::new(),
        }
    }
}

/// All sockets of one stream.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    sockets: HashMap<SocketId, Follower>,
    channels: HashMap<Channel, SocketId>,
    last: Channel,
}

impl Followers {
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Takes a socket in; [`Followers::attach`] begins to follow.
    pub(crate) fn insert(&mut self, id: SocketId, follower: Follower) {
        self.sockets.insert(id, follower);
    }

    /// Lets a socket go.
    pub(crate) fn remove(&mut self, id: SocketId) -> Option<ConnectRequest> {
        let follower = self.sockets.remove(&id)?;
        self.release(follower.channel)
    }

    /// Returns the ids of all sockets.
    pub(crate) fn ids(&self) -> Vec<SocketId> {
        self.sockets.keys().copied().collect()
    }

    /// Returns the ids of sockets whose session shall be followed now and is not. To be called once a look.
    pub(crate) fn due(&mut self) -> Vec<SocketId> {
        let mut due = Vec::new();
        for (id, follower) in self.sockets.iter_mut().filter(|(_, follower)| follower.channel.is_none()) {
            follower.rest = follower.rest.saturating_sub(1);
            if follower.rest == 0 && (!follower.lagging || follower.inlet.is_empty()) {
                due.push(*id);
            }
        }
        due
    }

    /// Tells whether some socket waits for its session to be followed again.
    pub(crate) fn any_detached(&self) -> bool {
        self.sockets.len() > self.channels.len()
    }

    /// Lets sockets go whose clients are gone.
    pub(crate) fn sweep(&mut self) -> Vec<ConnectRequest> {
        let gone = self.sockets.iter().filter(|(_, follower)| follower.inlet.is_closed());
        let gone: Vec<_> = gone.map(|(id, _)| *id).collect();
        gone.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Forgets all channels: the stream that they belonged to broke.
    pub(crate) fn disconnect(&mut self) {
        self.channels.clear();
        for follower in self.sockets.values_mut() {
            follower.channel = None;
        }
    }

    /// Begins to follow a socket's session, after what it was handed last.
    pub(crate) fn attach(&mut self, id: SocketId) -> Vec<ConnectRequest> {
        let Some(follower) = self.sockets.get_mut(&id) else { return Vec::new() };
        self.last += 1;
        let channel = self.last;
        let before = follower.channel.replace(channel);
        follower.lagging = false;
        let attach = follower.what.attach(&follower.tenant, follower.position.clone().unwrap_or_default());
        let mut requests = vec![ConnectRequest { channel, command: Some(Wire::Attach(attach)) }];
        if let Some(Position { epoch, seq }) = follower.acknowledged.clone() {
            let acknowledge = Acknowledge { epoch, seq };
            requests.push(ConnectRequest { channel, command: Some(Wire::Acknowledge(acknowledge)) });
        }
        let untold = std::mem::take(&mut follower.untold).into_iter().map(Wire::Delivered);
        requests.extend(untold.map(|command| ConnectRequest { channel, command: Some(command) }));
        self.channels.insert(channel, id);
        requests.extend(self.release(before));
        requests
    }

    /// Goes back, or ahead, to a position that the client names.
    pub(crate) fn resume(&mut self, id: SocketId, from: Position) -> Vec<ConnectRequest> {
        let Some(follower) = self.sockets.get_mut(&id) else { return Vec::new() };
        follower.position = Some(from);
        follower.resuming = true;
        if follower.channel.is_some() { self.attach(id) } else { Vec::new() }
    }

    /// Notes what the client dealt with. Without an epoch the present one is meant.
    pub(crate) fn acknowledge(&mut self, id: SocketId, epoch: Option<String>, seq: u64) -> Option<ConnectRequest> {
        let follower = self.sockets.get_mut(&id)?;
        let epoch = epoch.or_else(|| follower.position.as_ref().map(|position| position.epoch.clone()))?;
        follower.acknowledged = Some(Position { epoch: epoch.clone(), seq });
        let command = Wire::Acknowledge(Acknowledge { epoch, seq });
        Some(ConnectRequest { channel: follower.channel?, command: Some(command) })
    }

    /// Notes that a final frame was written; it is told when the session is followed again if it is not now.
    pub(crate) fn delivered(&mut self, id: SocketId, delivered: Delivered) -> Option<ConnectRequest> {
        let follower = self.sockets.get_mut(&id)?;
        let Some(channel) = follower.channel else {
            follower.untold.push(delivered);
            return None;
        };
        Some(ConnectRequest { channel, command: Some(Wire::Delivered(delivered)) })
    }

    /// Hands what the orchestrator says to the socket that it is for. What is returned goes back to the orchestrator.
    pub(crate) fn handle(&mut self, response: ConnectResponse) -> Option<ConnectRequest> {
        let id = *self.channels.get(&response.channel)?;
        let follower = self.sockets.get_mut(&id)?;
        let event = match response.event? {
            Event::Refused(refused) => return self.refused(id, refused),
            event => event,
        };
        match follower.take(event) {
            Ok(()) => None,
            Err(Rejected::Full) => {
                follower.lagging = true;
                let channel = follower.channel.take();
                self.release(channel)
            }
            Err(Rejected::Gone) => self.remove(id),
        }
    }

    /// A refusal that may pass is tried again; any other ends the socket.
    fn refused(&mut self, id: SocketId, refused: Refused) -> Option<ConnectRequest> {
        let follower = self.sockets.get_mut(&id)?;
        let passing = reason::find(&refused.reason).is_some_and(|reason| reason.code.is_transient());
        if let Some(channel) = follower.channel.take() {
            self.channels.remove(&channel);
        }
        follower.rest = REST;
        if !passing {
            let _gone = follower.inlet.offer(Push::Refused(refused));
            self.sockets.remove(&id);
        }
        None
    }

    fn release(&mut self, channel: Option<Channel>) -> Option<ConnectRequest> {
        let channel = channel?;
        self.channels.remove(&channel)?;
        Some(ConnectRequest { channel, command: Some(Wire::Detach(Detach {})) })
    }
}

impl Follower {
    fn take(&mut self, event: Event) -> Result<(), Rejected> {
        match event {
            Event::Attached(attached) => {
                let position = Position { epoch: attached.epoch, seq: attached.after };
                if self.unannounced {
                    self.inlet.offer(Push::Attached(position.clone()))?;
                    self.unannounced = false;
                }
                self.position = Some(position);
            }
            Event::Frame(frame) => {
                if self.has_seen(&frame.epoch, frame.seq) {
                    return Ok(());
                }
                let seq = frame.seq;
                // Nearly every frame continues the numbering of the one before.
                let another = self.position.as_ref().is_none_or(|position| position.epoch != frame.epoch);
                let epoch = another.then(|| frame.epoch.clone());
                self.inlet.offer(Push::Frame(Box::new(frame)))?;
                let position = self.position.get_or_insert_default();
                position.seq = seq;
                if let Some(epoch) = epoch {
                    position.epoch = epoch;
                }
            }
            Event::Gap(gap) => {
                let position = Position { epoch: gap.epoch.clone(), seq: gap.after };
                self.inlet.offer(Push::Gap(gap))?;
                self.position = Some(position);
            }
            Event::Resumed(resumed) => {
                let position = Position { epoch: resumed.epoch.clone(), seq: resumed.to };
                if self.resuming {
                    self.inlet.offer(Push::Resumed(resumed))?;
                    self.resuming = false;
                }
                if !self.has_seen(&position.epoch, position.seq) {
                    self.position = Some(position);
                }
            }
            Event::Refused(_) => {}
        }
        Ok(())
    }

    fn has_seen(&self, epoch: &str, seq: u64) -> bool {
        self.position.as_ref().is_some_and(|position| position.epoch == epoch && seq <= position.seq)
    }
}
