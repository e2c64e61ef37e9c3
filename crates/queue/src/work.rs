//! One leased action, as its handler sees it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use action::{Action, Domain};
use proto::action::v1::{TaskEvent, TokenUsage};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::engine::Note;
use crate::queue::Inner;
use crate::{outcome, timeline};

/// What a handler returns: the reply, and the tokens it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed<R> {
    /// The reply.
    pub reply: R,
    /// Tokens that the handler itself consumed; those of its calls are added by the queue.
    pub tokens_used: TokenUsage,
}

impl<R> From<R> for Completed<R> {
    fn from(reply: R) -> Self {
        Self { reply, tokens_used: TokenUsage::default() }
    }
}

/// One leased action. Cloning is cheap; all clones are the same work.
#[derive(Clone)]
pub struct Work {
    pub(crate) inside: Arc<Inside>,
}

pub(crate) struct Inside {
    pub(crate) queue: Arc<Inner>,
    pub(crate) domain: Domain,
    pub(crate) action: Action,
    pub(crate) token: u64,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: CancellationToken,
    /// Redis' clock, and when it was read: times of events are its, not this machine's.
    pub(crate) clock: (SystemTime, Instant),
    pub(crate) diary: Mutex<Diary>,
    pub(crate) end: End,
}

/// How the work came to its end.
#[derive(Default)]
pub(crate) struct End {
    stopped: OnceLock<Stopped>,
    report: Mutex<Option<oneshot::Sender<Settlement>>>,
}

/// Why work should stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Somebody cancelled it, and why. It ends as cancelled.
    Cancelled(String),
    /// Its lease was lost: it is somebody else's now.
    Lost,
    /// Its time is over. It ends as timeout.
    Overdue,
    /// The process shuts down. It is given back.
    Draining,
}

/// What became of settling work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is written.
    Written,
    /// The lease is not held any more: the work is somebody else's now.
    Stale,
    /// The action has ended already.
    Gone,
}

/// What came together while the work ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diary {
    /// Steps that the record of the task does not have yet.
    pub(crate) events: Vec<TaskEvent>,
    /// Steps that it has already.
    pub(crate) noted: Vec<TaskEvent>,
    /// Tokens that calls consumed.
    pub(crate) tokens: TokenUsage,
}

impl Work {
    /// Returns the action; its `delivery` is set.
    pub fn action(&self) -> &Action {
        &self.inside.action
    }

    /// Returns the time left until the deadline, zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.inside.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns a token that is cancelled when the work should stop: somebody cancelled it, its lease was lost, its time ran
    /// out, or the worker shuts down. The handler's future is dropped shortly after.
    pub fn cancelled(&self) -> CancellationToken {
        self.inside.cancelled.clone()
    }

    /// Returns why the work should stop; none while it should not.
    pub fn stopped(&self) -> Option<Stopped> {
        self.inside.end.stopped.get().cloned()
    }

    /// Adds a step to the timeline. It is written when the action is settled.
    pub fn event(&self, name: &str) {
        let event = self.step(name);
        self.diary(|diary| diary.events.push(event));
    }

    /// Says what the work is at: sets the `stage` of the task's record now, if this is its root action, and adds the step to
    /// the timeline. It is a courtesy: when Redis is away, the step is written when the action is settled.
    pub async fn stage(&self, name: &str) {
        let event = self.step(name);
        let action = &self.inside.action;
        if !action.is_root() {
            self.diary(|diary| diary.events.push(event));
            return;
        }
        let id = outcome::record_id(action.task);
        let note = Note {
            task: &id,
            tenant: action.tenant.as_str(),
            event: &event.name,
            domain: self.inside.domain.as_str(),
            attempt: event.attempt,
            stage: &event.name,
            token: Some(self.inside.token),
        };
        let part = self.inside.queue.part(self.inside.domain, action.tenant.as_str());
        // By the same clock as the other steps of this work, so that their order is right.
        let at = event.at.as_ref().map_or(0, action::time::to_unix_us);
        let noted = part.engine.note(at, &note).await.unwrap_or(false);
        self.diary(|diary| if noted { diary.noted.push(event) } else { diary.events.push(event) });
    }

    pub(crate) fn step(&self, name: &str) -> TaskEvent {
        timeline::event(name, self.inside.now(), self.inside.domain, self.inside.action.attempt())
    }

    pub(crate) fn diary<T>(&self, change: impl FnOnce(&mut Diary) -> T) -> T {
        change(&mut self.inside.diary.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inside {
    /// Tells the handler to stop.
    pub(crate) fn stop(&self, why: Stopped) {
        let _ = self.end.stopped.set(why);
        self.cancelled.cancel();
    }

    /// Says who wants to know what became of the work.
    pub(crate) fn report_to(&self, sender: oneshot::Sender<Settlement>) {
        *self.end.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    /// Tells what became of the verdict. One that came when the work had been stopped was not looked at.
    pub(crate) fn report(&self, settlement: Settlement) {
        let settlement = match self.end.stopped.get() {
            None => settlement,
            Some(Stopped::Cancelled(_) | Stopped::Overdue) => Settlement::Gone,
            Some(Stopped::Lost | Stopped::Draining) => Settlement::Stale,
        };
        if let Some(sender) = self.end.report.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = sender.send(settlement);
        }
    }

    /// Returns the time by Redis' clock.
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.0 + self.clock.1.elapsed()
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("action_type", &self.inside.action.action_type)
            .field("task", &self.inside.action.task)
            .field("action", &self.inside.action.id)
            .finish_non_exhaustive()
    }
}

/// Adds token counts.
pub(crate) fn add(sum: &mut TokenUsage, more: &TokenUsage) {
    sum.input += more.input;
    sum.output += more.output;
    sum.total += more.total;
}
