//! A task, watched until it ends by somebody who waits for the answer.

use std::time::Duration;

use action::{Domain, Outcome, TaskId};
use fault::{Failure, reason};
use proto::action::v1::{ErrorDetail, Status as TaskStatus, TokenUsage};
use proto::execution::v1::AgentRun;
use proto::task::v1::frame::Body;
use proto::task::v1::{CancelTaskRequest, Task, WatchTaskRequest, WatchTaskResponse};
use quota::Window;
use service_kit::{Caller, NotAdmitted};
use tonic::Streaming;

use crate::chat::{self, ChatBody};
use crate::edge::{Edge, leaving};
use crate::headers::Destination;
use crate::made::NewTask;
use crate::places::Seat;
use crate::tasks;
use crate::view::Source;

/// How often something that broke is tried again, and the first pause before that.
const TRIES: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What is seen of a task.
pub(crate) enum Seen {
    /// The next piece of the answer, by an attempt.
    Piece { attempt: u32, text: String },
    /// The answer, whole.
    Answer(Answer),
}

/// An answer and what it took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tokens: TokenUsage,
    /// Passages that it rests on.
    pub(crate) sources: Vec<Source>,
}

/// See the module. Whoever drops it before the task has ended gives the task up.
pub(crate) struct Watch {
    /// None while it is broken.
    frames: Option<Streaming<WatchTaskResponse>>,
    /// Where the last frame stood.
    position: (String, u64),
    given_up: GivenUp,
    _place: Seat,
}

/// Cancels a task that nobody waits for any more.
struct GivenUp {
    edge: Edge,
    caller: Caller,
    task: String,
    over: bool,
}

impl GivenUp {
    /// Watches over a task from before it is sent: whoever drops this gives the task up, unless it is over.
    fn of(edge: &Edge, caller: &Caller, task: TaskId) -> Self {
        Self { edge: edge.clone(), caller: caller.clone(), task: task.to_string(), over: false }
    }

    /// Watches over a task that goes on also when nobody waits: its client may come back for it.
    fn never(edge: &Edge, caller: &Caller, task: TaskId) -> Self {
        let mut given_up = Self::of(edge, caller, task);
        given_up.over = true;
        given_up
    }

    /// Notes that there is nothing to give up.
    fn disarm(mut self) {
        self.over = true;
    }
}

impl Watch {
    /// Sends a message, and begins to watch what comes of it; returns how the limits stand after the charge. Nobody gives up the task
    /// of a message that may be sent again. One that was let in before is shown from its beginning, whatever the limits say by now.
    pub(crate) async fn send(
        edge: &Edge,
        caller: Caller,
        to: Destination,
        text: ChatBody,
        task: NewTask,
        place: Seat,
    ) -> Result<(Self, Vec<Window>), NotAdmitted> {
        let watched = if task.repeats { GivenUp::never } else { GivenUp::of };
        let given_up = watched(edge, &caller, task.id);
        if task.answered && tasks::find(edge, &caller, task.id).await.is_ok() {
            return Ok((Self::open(given_up, place).await?, Vec::new()));
        }
        match chat::post(edge, caller, to, text, task).await {
            Ok((_, windows)) => Ok((Self::open(given_up, place).await?, windows)),
            Err(refused) => {
                if !refused.failure.leaves_doubt() {
                    given_up.disarm();
                }
                Err(refused)
            }
        }
    }

    /// Begins to watch a task that was sent.
    async fn open(given_up: GivenUp, place: Seat) -> Result<Self, Failure> {
        let mut watch = Self { frames: None, position: (String::new(), 0), given_up, _place: place };
        watch.reopen().await?;
        Ok(watch)
    }

    /// Goes on from the last frame that was seen.
    async fn reopen(&mut self) -> Result<(), Failure> {
        let (epoch, after) = self.position.clone();
        let request = WatchTaskRequest { task_id: self.given_up.task.clone(), epoch, after };
        let mut tasks = self.given_up.edge.peers.tasks(Domain::Orchestrator, &self.given_up.caller);
        let frames = tasks.watch_task(request).await.map_err(|status| Failure::from_status(&status))?;
        self.frames = Some(frames.into_inner());
        Ok(())
    }

    /// Returns what is told next; fails when this process cannot wait for it any longer.
    async fn told(&mut self) -> Result<WatchTaskResponse, Failure> {
        let last_call = self.given_up.edge.last_call.clone();
        tokio::select! {
            biased;
            told = self.told_by_somebody() => told,
            () = last_call.cancelled() => Err(leaving()),
        }
    }

    /// Returns what is told next, from another process if this one broke off.
    async fn told_by_somebody(&mut self) -> Result<WatchTaskResponse, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut last = Failure::new(&reason::UNAVAILABLE, "the answer broke off; ask for the task");
        for _ in 0..TRIES {
            if let Some(frames) = &mut self.frames {
                match frames.message().await {
                    Ok(Some(told)) => return Ok(told),
                    Ok(None) => {}
                    Err(status) => last = Failure::from_status(&status),
                }
                self.frames = None;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            if let Err(failure) = self.reopen().await {
                last = failure;
            }
        }
        // The client is there still, and can ask for the task.
        self.given_up.over = true;
        Err(last)
    }

    /// Returns the answer when the task has ended.
    pub(crate) async fn answer(mut self) -> Result<Answer, Failure> {
        loop {
            if let Seen::Answer(answer) = self.next().await? {
                return Ok(answer);
            }
        }
    }

    /// Returns what is seen next; the answer is the last. Fails when the task ends without one.
    pub(crate) async fn next(&mut self) -> Result<Seen, Failure> {
        loop {
            let told = self.told().await?;
            if let Some(frame) = &told.frame {
                self.position = (frame.epoch.clone(), frame.seq);
            }
            match told.frame.and_then(|frame| frame.body) {
                Some(Body::AgentDelta(delta)) => {
                    return Ok(Seen::Piece { attempt: delta.attempt, text: delta.text });
                }
                Some(Body::AgentResponse(response)) => {
                    self.given_up.over = true;
                    let tokens = response.tokens_used.unwrap_or_default();
                    return Ok(Seen::Answer(Answer {
                        text: response.response,
                        tokens,
                        sources: response.sources.into_iter().map(Source::from).collect(),
                    }));
                }
                Some(Body::Error(error)) => {
                    self.given_up.over = true;
                    return Err(failed(error.error));
                }
                _ => {}
            }
            if let Some(task) = told.task
                && let Some(ended) = ended(task)
            {
                self.given_up.over = true;
                return ended.map(Seen::Answer);
            }
        }
    }
}

/// Reads the record of a task, which has the answer also when its frame was lost.
fn ended(task: Task) -> Option<Result<Answer, Failure>> {
    match task.status() {
        TaskStatus::Completed => {
            let reply = task.result.as_ref().and_then(|result| Outcome::reply::<AgentRun>(result).ok());
            let tokens = task.tokens_used.unwrap_or_default();
            let answer = reply.map(|reply| Answer {
                text: reply.response,
                tokens,
                sources: reply.sources.into_iter().map(Source::from).collect(),
            });
            Some(answer.ok_or_else(Failure::internal))
        }
        TaskStatus::Failed | TaskStatus::Timeout | TaskStatus::Cancelled => Some(Err(failed(task.error))),
        TaskStatus::Pending | TaskStatus::Running | TaskStatus::Unspecified => None,
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (edge, caller, task) = (self.edge.clone(), self.caller.clone(), std::mem::take(&mut self.task));
        let errands = edge.errands.clone();
        errands.spawn_apart(async move {
            let mut pause = FIRST_PAUSE;
            // It may be on its way to the queue still.
            for _ in 0..TRIES {
                let reason = "its client went away".to_owned();
                let request = edge.call(CancelTaskRequest { task_id: task.clone(), reason });
                match edge.peers.tasks(Domain::Orchestrator, &caller).cancel_task(request).await {
                    Ok(_) => return,
                    Err(status) if status.code() == tonic::Code::FailedPrecondition => return,
                    Err(_) => tokio::time::sleep(pause).await,
                }
                pause *= 2;
            }
            tracing::debug!(task_id = task, "a task that nobody waits for goes on");
        });
    }
}

/// A task that ended without an answer, as its caller sees it.
fn failed(error: Option<ErrorDetail>) -> Failure {
    error.map_or_else(Failure::internal, |detail| action::failure_of(&detail))
}
