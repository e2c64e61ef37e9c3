//! A task, watched until it ends by somebody who waits for the answer.

use action::{Domain, Outcome};
use fault::{Failure, reason};
use proto::action::v1::{ErrorDetail, Status as TaskStatus, TokenUsage};
use proto::execution::v1::AgentRun;
use proto::task::v1::frame::Body;
use proto::task::v1::{CancelTaskRequest, Task, WatchTaskRequest, WatchTaskResponse};
use service_kit::Caller;
use tonic::Streaming;

use crate::edge::Edge;
use crate::view::{AgentInfo, Source};

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
    /// Who answered.
    pub(crate) agent: Option<AgentInfo>,
}

/// See the module. Whoever drops it before the task has ended gives the task up.
pub(crate) struct Watch {
    frames: Streaming<WatchTaskResponse>,
    given_up: GivenUp,
}

/// Cancels a task that nobody waits for any more.
struct GivenUp {
    edge: Edge,
    caller: Caller,
    task: String,
    over: bool,
}

impl Watch {
    pub(crate) async fn open(edge: &Edge, caller: &Caller, task: &str) -> Result<Self, Failure> {
        let given_up = GivenUp { edge: edge.clone(), caller: caller.clone(), task: task.to_owned(), over: false };
        let request = WatchTaskRequest { task_id: task.to_owned(), ..WatchTaskRequest::default() };
        let frames = edge.peers.tasks(Domain::Orchestrator, caller).watch_task(request).await;
        let frames = frames.map_err(|status| Failure::from_status(&status))?.into_inner();
        Ok(Self { frames, given_up })
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
            let told = self.frames.message().await.map_err(|status| Failure::from_status(&status))?;
            let Some(told) = told else {
                return Err(Failure::new(&reason::UNAVAILABLE, "the answer broke off; the task may still end"));
            };
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
                        agent: response.agent_info.map(AgentInfo::from),
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
                agent: reply.agent_info.map(AgentInfo::from),
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
        errands.spawn(async move {
            let reason = "its client went away".to_owned();
            let request = edge.call(CancelTaskRequest { task_id: task.clone(), reason });
            if let Err(status) = edge.peers.tasks(Domain::Orchestrator, &caller).cancel_task(request).await {
                tracing::debug!(task_id = task, code = ?status.code(), "a task that nobody waits for goes on");
            }
        });
    }
}

/// A task that ended without an answer, as its caller sees it.
fn failed(error: Option<ErrorDetail>) -> Failure {
    error.map_or_else(Failure::internal, |detail| action::failure_of(&detail))
}
