//! All sockets of the process over one stream to each orchestrator.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use action::{SessionId, TaskId, TenantId};
use service_kit::{Identity, Orchestrators, Peers, Tasks};
use tokio::sync::mpsc;

use super::Position;
use super::follow::{Follower, SocketId};
use super::link::{Command, Link};
use super::mailbox::{Outlet, Push, mailbox};

/// Commands of sockets that wait for a link.
const COMMANDS: usize = 1024;

/// How much may wait for one socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    /// Most frames.
    pub(crate) frames: usize,
    /// Most bytes, as the orchestrator sends them.
    pub(crate) bytes: usize,
}

/// Opens subscriptions. Cloning is cheap; when the last clone and subscription are gone, the streams end.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    links: Arc<Mutex<Vec<mpsc::Sender<Command>>>>,
    orchestrators: Orchestrators,
    tasks: Tasks,
    last: Arc<AtomicU64>,
    backlog: Backlog,
}

impl Hub {
    /// Prepares one link for each orchestrator; each falls back on the others.
    pub(crate) fn start(peers: &Peers, tasks: &Tasks, backlog: Backlog) -> Self {
        Self {
            links: Arc::default(),
            orchestrators: peers.orchestrators(Identity::service()),
            tasks: tasks.clone(),
            last: Arc::new(AtomicU64::new(0)),
            backlog,
        }
    }

    /// Returns the link of a socket. Orchestrators come and go: new ones get a link when a socket needs it, and a link whose
    /// orchestrator is gone goes on at another one for the sockets that it has.
    fn link(&self, id: SocketId) -> mpsc::Sender<Command> {
        let number = usize::try_from(id).unwrap_or_default() % self.orchestrators.count();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        while links.len() <= number {
            let (sender, receiver) = mpsc::channel(COMMANDS);
            self.tasks.spawn_apart(Link::new(self.orchestrators.clone(), links.len(), receiver).run());
            links.push(sender);
        }
        links[number].clone()
    }

    /// Follows a session from a position, or from after the last acknowledged frame.
    pub(crate) async fn follow(&self, tenant: TenantId, session: SessionId, from: Option<Position>) -> Subscription {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let link = self.link(id);
        let (inlet, outlet) = mailbox(self.backlog.frames, self.backlog.bytes);
        let follower = Box::new(Follower::new(tenant, session, from, inlet));
        let subscription = Subscription { id, link, outlet };
        subscription.tell(Command::Open(id, follower)).await;
        subscription
    }
}

/// What one socket follows; dropping it ends the following.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: SocketId,
    link: mpsc::Sender<Command>,
    outlet: Outlet,
}

impl Subscription {
    /// Returns the next thing to write; none when the session is not followed any more. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Push> {
        self.outlet.next().await
    }

    /// Goes on from a position that the client names.
    pub(crate) async fn resume(&self, from: Position) {
        self.tell(Command::Resume(self.id, from)).await;
    }

    /// Says that the client dealt with everything up to a position.
    pub(crate) async fn acknowledge(&self, epoch: Option<String>, seq: u64) {
        self.tell(Command::Acknowledge(self.id, epoch, seq)).await;
    }

    /// Says that the final frame of a task was written.
    pub(crate) async fn delivered(&self, task: TaskId) {
        self.tell(Command::Delivered(self.id, task)).await;
    }

    async fn tell(&self, command: Command) {
        // The link is gone only when the process ends, and then the outlet ends, too.
        let _gone = self.link.send(command).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // If there is no room, the link notices at the next frame that nobody takes it.
        let _full = self.link.try_send(Command::Close(self.id));
    }
}
