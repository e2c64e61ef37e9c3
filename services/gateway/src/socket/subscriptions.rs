//! What a socket is shown besides its own session: tasks of the tenant, wherever their frames go.

use std::collections::BTreeMap;

use action::TaskId;
use fault::{Failure, reason};
use futures::future::try_join_all;
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use futures::{StreamExt as _, stream};
use proto::task::v1::{Frame, Task};
use serde_json::{Map, Value};

use super::proof::Principal;
use super::watch::watch;
use crate::tasks;

/// Most things that one socket is subscribed to.
pub(super) const MOST: usize = 32;

/// What a `subscribe` or `unsubscribe` frame names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) tasks: Vec<TaskId>,
}

/// A task that may be subscribed to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    task: TaskId,
    /// The socket is shown its frames in any case.
    at_home: bool,
}

/// Something about a subscription.
#[derive(Debug)]
pub(super) enum Seen {
    /// A frame of a task's log.
    Frame(Box<Frame>),
    /// Nothing follows about a task.
    Over(TaskId),
}

/// All subscriptions of one socket.
pub(super) struct Subscriptions {
    tasks: BTreeMap<TaskId, Option<AbortHandle>>,
    streams: SelectAll<BoxStream<'static, Seen>>,
}

impl Named {
    /// Reads the lists; what stands twice counts once.
    pub(super) fn parse(fields: &Map<String, Value>) -> Result<Self, Failure> {
        let mut tasks = list(fields, "tasks")?.into_iter().map(task).collect::<Result<Vec<_>, _>>()?;
        tasks.sort_unstable();
        tasks.dedup();
        Ok(Self { tasks })
    }
}

fn list<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<Vec<&'a str>, Failure> {
    let wrong = || {
        let text = format!("`{name}` must be a list of at most {MOST} ids");
        Failure::new(&reason::INVALID_FIELD, text).field(name)
    };
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(ids)) if ids.len() <= MOST => ids.iter().map(|id| id.as_str().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn task(id: &str) -> Result<TaskId, Failure> {
    tasks::parse(id).map_err(|failure| failure.field("tasks"))
}

/// Makes sure that everything named belongs to the tenant: all of it, or nothing is subscribed to. What belongs to somebody
/// else looks like what does not exist.
pub(super) async fn look_up(principal: &Principal, named: &Named) -> Result<Vec<Found>, Failure> {
    let caller = principal.prove().await?;
    let found = named.tasks.iter().map(|task| tasks::find(&principal.edge, &caller, *task));
    let found = try_join_all(found).await.map_err(|failure| failure.field("tasks"))?;
    let home = principal.addressee.session.as_str();
    Ok(named.tasks.iter().zip(found).map(|(task, found)| Found { task: *task, at_home: is_at(&found, home) }).collect())
}

fn is_at(task: &Task, session: &str) -> bool {
    task.session_id == session
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self { tasks: BTreeMap::new(), streams: SelectAll::new() }
    }

    /// Tells whether anything may still be said about a task of another session.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Checks that there is room for what is named.
    pub(super) fn room_for<'a>(&self, tasks: impl Iterator<Item = &'a TaskId>) -> Result<(), Failure> {
        let new = tasks.filter(|task| !self.tasks.contains_key(task)).count();
        if self.tasks.len() + new <= MOST {
            return Ok(());
        }
        let text = format!("a socket is subscribed to at most {MOST} things; leave some first");
        Err(Failure::new(&reason::INVALID_FIELD, text).field("tasks").with("limit", MOST.to_string()))
    }

    /// Subscribes to tasks that were found.
    pub(super) fn add(&mut self, principal: &Principal, found: Vec<Found>) -> Result<(), Failure> {
        self.room_for(found.iter().map(|found| &found.task))?;
        for Found { task, at_home } in found {
            if self.tasks.contains_key(&task) {
                continue;
            }
            let stop = (!at_home).then(|| {
                let (stop, registration) = AbortHandle::new_pair();
                let frames = watch(principal, task).map(|frame| Seen::Frame(Box::new(frame)));
                let all = frames.chain(stream::once(async move { Seen::Over(task) }));
                self.streams.push(Abortable::new(all, registration).boxed());
                stop
            });
            self.tasks.insert(task, stop);
        }
        Ok(())
    }

    /// Leaves a task; nothing happens if it is not subscribed to.
    pub(super) fn leave(&mut self, task: TaskId) {
        if let Some(Some(stop)) = self.tasks.remove(&task) {
            stop.abort();
        }
    }

    /// Returns the tasks that are subscribed to.
    pub(super) fn tasks(&self) -> Vec<String> {
        self.tasks.keys().map(ToString::to_string).collect()
    }

    /// Returns what happens next; none when nothing can any more. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        self.streams.next().await
    }
}
