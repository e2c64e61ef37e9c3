//! What a socket is shown besides its own session: tasks of the tenant, wherever their frames go, and how the tasks of an agent
//! are getting on.

use std::collections::BTreeMap;
use std::time::Duration;

use action::{AgentId, TaskId};
use fault::{Failure, reason};
use futures::future::try_join_all;
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use futures::{Stream, StreamExt as _, stream};
use proto::task::v1::{Frame, Task};
use serde_json::{Map, Value};

use super::follow::What;
use super::hub::Subscription;
use super::mailbox::Push;
use super::proof::Principal;
use super::sight::Sight;
use super::watch::watch;
use crate::places::Seat;
use crate::tasks;

/// Time for something to be followed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most things that one socket is subscribed to.
pub(super) const MOST: usize = 32;

/// What a `subscribe` or `unsubscribe` frame names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    tasks: Vec<TaskId>,
    agents: Vec<AgentId>,
}

/// What may be subscribed to.
#[derive(Debug)]
pub(super) struct Granted {
    /// Tasks whose frames the socket is shown in any case.
    at_home: Vec<TaskId>,
    /// Tasks of other sessions, looked at already.
    tasks: Vec<(Task, TaskId, Look)>,
    /// Agents, looked at already.
    agents: Vec<(AgentId, Look)>,
}

/// Something that is looked at, and its place.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) following: Subscription,
    _seat: Seat,
}

/// Something about a subscription.
#[derive(Debug)]
pub(super) enum Seen {
    /// A frame of a task's log.
    OfTask(Box<Frame>),
    /// How far a task of an agent is.
    OfAgent(Box<Frame>),
    /// Nothing follows about a task.
    TaskOver(TaskId),
    /// The agent is not followed any more.
    AgentOver(AgentId),
}

/// All subscriptions of one socket.
pub(super) struct Subscriptions {
    tasks: BTreeMap<TaskId, Option<AbortHandle>>,
    agents: BTreeMap<AgentId, AbortHandle>,
    streams: SelectAll<BoxStream<'static, Seen>>,
}

impl Named {
    /// Reads the lists; what stands twice counts once.
    pub(super) fn parse(fields: &Map<String, Value>) -> Result<Self, Failure> {
        Ok(Self {
            tasks: list(fields, "tasks", |id| tasks::parse(id).map_err(|failure| failure.field("tasks")))?,
            agents: list(fields, "agents", |id| {
                let text = "an id has 3 to 64 characters out of A-Z a-z 0-9 _ -";
                id.parse().map_err(|_| Failure::new(&reason::INVALID_FIELD, text).field("agents"))
            })?,
        })
    }
}

fn list<T: Ord>(
    fields: &Map<String, Value>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let wrong = || {
        let text = format!("`{name}` must be a list of at most {MOST} ids");
        Failure::new(&reason::INVALID_FIELD, text).field(name)
    };
    let mut ids = match fields.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) if ids.len() <= MOST => {
            ids.iter().map(|id| parse(id.as_str().ok_or_else(wrong)?)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong()),
    };
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Makes sure that everything named belongs to the tenant: all of it, or nothing is subscribed to. What belongs to somebody
/// else looks like what does not exist.
pub(super) async fn look_up(principal: &Principal, named: Named) -> Result<Granted, Failure> {
    let caller = principal.prove().await?;
    let found = named.tasks.iter().map(|task| tasks::find(&principal.edge, &caller, *task));
    let found = try_join_all(found).await.map_err(|failure| failure.field("tasks"))?;
    for agent in &named.agents {
        let granted = principal.edge.admission.access_agent(&caller, agent).await;
        granted.map_err(|failure| failure.field("agents"))?;
    }
    let home = principal.addressee.session.as_str();
    let (mut at_home, mut tasks, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    for (id, task) in named.tasks.into_iter().zip(found) {
        if task.session_id == home {
            at_home.push(id);
        } else {
            let session = Some(&task.session_id).filter(|session| !session.is_empty());
            let session = session.map(|session| session.parse()).transpose().map_err(|_| Failure::internal())?;
            tasks.push((task, id, look(principal, What::Task(id, session)).await?));
        }
    }
    for agent in named.agents {
        let look = look(principal, What::Agent(agent.clone())).await?;
        agents.push((agent, look));
    }
    Ok(Granted { at_home, tasks, agents })
}

/// Begins to look at something; who is told that they are subscribed misses nothing after.
async fn look(principal: &Principal, what: What) -> Result<Look, Failure> {
    let tenant = principal.addressee.tenant.clone();
    let seat = principal.edge.sockets.look(&tenant)?;
    let mut following = principal.edge.hub.look_at(tenant, what).await;
    if let Ok(Some(Push::Attached(_))) = tokio::time::timeout(PATIENCE, following.next()).await {
        return Ok(Look { following, _seat: seat });
    }
    let text = "this cannot be followed for now; try again";
    Err(Failure::new(&reason::UNAVAILABLE, text).retry_after(Duration::from_secs(1)))
}

impl Granted {
    fn named(&self) -> Named {
        let tasks = self.tasks.iter().map(|(_, task, _)| *task).chain(self.at_home.iter().copied());
        Named { tasks: tasks.collect(), agents: self.agents.iter().map(|(agent, _)| agent.clone()).collect() }
    }
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self { tasks: BTreeMap::new(), agents: BTreeMap::new(), streams: SelectAll::new() }
    }

    /// Tells whether nothing can be said about any of them.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Checks that there is room for what is named.
    pub(super) fn room_for(&self, named: &Named) -> Result<(), Failure> {
        let tasks = named.tasks.iter().filter(|task| !self.tasks.contains_key(task)).count();
        let agents = named.agents.iter().filter(|agent| !self.agents.contains_key(agent)).count();
        if self.tasks.len() + self.agents.len() + tasks + agents <= MOST {
            return Ok(());
        }
        let text = format!("a socket is subscribed to at most {MOST} things; leave some first");
        let field = if tasks > 0 { "tasks" } else { "agents" };
        Err(Failure::new(&reason::INVALID_FIELD, text).field(field).with("limit", MOST.to_string()))
    }

    /// Subscribes to what was granted.
    pub(super) fn add(&mut self, principal: &Principal, granted: Granted) -> Result<(), Failure> {
        self.room_for(&granted.named())?;
        for task in granted.at_home {
            self.tasks.entry(task).or_insert(None);
        }
        for (record, task, look) in granted.tasks {
            if !self.tasks.contains_key(&task) {
                let frames = watch(principal, record, task, look).map(|frame| Seen::OfTask(Box::new(frame)));
                let stop = self.begin(frames, Seen::TaskOver(task));
                self.tasks.insert(task, Some(stop));
            }
        }
        for (agent, look) in granted.agents {
            if !self.agents.contains_key(&agent) {
                let frames = updates(principal.clone(), look).map(|frame| Seen::OfAgent(Box::new(frame)));
                let stop = self.begin(frames, Seen::AgentOver(agent.clone()));
                self.agents.insert(agent, stop);
            }
        }
        Ok(())
    }

    fn begin(&mut self, frames: impl Stream<Item = Seen> + Send + 'static, over: Seen) -> AbortHandle {
        let (stop, registration) = AbortHandle::new_pair();
        self.streams.push(Abortable::new(frames.chain(stream::once(async { over })), registration).boxed());
        stop
    }

    /// Leaves what is named; nothing happens where there is no subscription.
    pub(super) fn leave_all(&mut self, named: &Named) {
        named.tasks.iter().for_each(|task| self.leave(*task));
        named.agents.iter().for_each(|agent| self.leave_agent(agent));
    }

    /// Leaves a task.
    pub(super) fn leave(&mut self, task: TaskId) {
        if let Some(Some(stop)) = self.tasks.remove(&task) {
            stop.abort();
        }
    }

    /// Leaves an agent.
    pub(super) fn leave_agent(&mut self, agent: &AgentId) {
        if let Some(stop) = self.agents.remove(agent) {
            stop.abort();
        }
    }

    /// Returns the tasks that are subscribed to.
    pub(super) fn tasks(&self) -> Vec<String> {
        self.tasks.keys().map(ToString::to_string).collect()
    }

    /// Returns the agents that are subscribed to.
    pub(super) fn agents(&self) -> Vec<String> {
        self.agents.keys().map(ToString::to_string).collect()
    }

    /// Returns what happens next; none when nothing can any more. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        self.streams.next().await
    }
}

/// Returns how the tasks of an agent are getting on, those that the principal may see.
fn updates(principal: Principal, look: Look) -> impl Stream<Item = Frame> + Send {
    stream::unfold((look, Sight::of(principal)), |(mut look, mut sight)| async {
        loop {
            match look.following.next().await? {
                Push::Frame(frame) if sight.shows(&frame).await => return Some((*frame, (look, sight))),
                Push::Refused(_) => return None,
                // What is gone was word of what the tasks' records say.
                Push::Frame(_) | Push::Attached(_) | Push::Gap(_) | Push::Resumed(_) => {}
            }
        }
    })
}
