//! Watching a task that another session shows, or none: through the task service, which follows the task's own log and looks
//! at its record, so that it ends when the task has, also when its last frame is lost.

use std::time::{Duration, SystemTime};

use action::{Domain, TaskId, time};
use futures::{Stream, stream};
use proto::task::v1::frame::Body;
use proto::task::v1::{Frame, Task, TaskUpdate, WatchTaskRequest, WatchTaskResponse};
use service_kit::Identity;
use tonic::Streaming;

use super::Position;
use super::frames::ends_task;
use super::proof::Principal;
use crate::edge::Edge;
use crate::view::is_final;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Returns the frames of a task, those that were before included, up to its last one. A service that goes away is waited for.
pub(super) fn watch(principal: &Principal, task: TaskId) -> impl Stream<Item = Frame> + Send + use<> {
    let who = &principal.addressee;
    let watch = Watch {
        edge: principal.edge.clone(),
        identity: Identity::tenant(who.tenant.clone(), who.tier),
        task,
        answers: None,
        told: Position::default(),
        record: None,
        over: false,
        pause: FIRST_PAUSE,
    };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) })
}

struct Watch {
    edge: Edge,
    identity: Identity,
    task: TaskId,
    answers: Option<Streaming<WatchTaskResponse>>,
    /// Last frame that was told; the service begins at the first one whenever it is asked.
    told: Position,
    /// The task as it was last seen.
    record: Option<Task>,
    over: bool,
    pause: Duration,
}

impl Watch {
    async fn next(&mut self) -> Option<Frame> {
        while !self.over {
            let answer = match &mut self.answers {
                Some(answers) => answers.message().await,
                None => self.open().await.map(|()| Some(WatchTaskResponse::default())),
            };
            match answer {
                Ok(Some(answer)) => {
                    self.record = answer.task.or(self.record.take());
                    if let Some(frame) = answer.frame.filter(|frame| self.is_new(frame)) {
                        self.pause = FIRST_PAUSE;
                        self.over = ends_task(&frame);
                        return Some(frame);
                    }
                }
                Ok(None) => {
                    self.over = true;
                    return self.record.take().filter(|task| is_final(task.status)).map(last);
                }
                Err(status) => self.broken(&status).await,
            }
        }
        None
    }

    async fn open(&mut self) -> Result<(), tonic::Status> {
        let request = WatchTaskRequest { task_id: self.task.to_string() };
        let answers = self.edge.peers.tasks(Domain::Orchestrator, &self.identity).watch_task(request).await?;
        self.answers = Some(answers.into_inner());
        Ok(())
    }

    fn is_new(&mut self, frame: &Frame) -> bool {
        let new = frame.epoch != self.told.epoch || frame.seq > self.told.seq;
        if new {
            self.told = Position { epoch: frame.epoch.clone(), seq: frame.seq };
        }
        new
    }

    /// What may pass is waited for; a task whose record is gone is over.
    async fn broken(&mut self, status: &tonic::Status) {
        self.answers = None;
        self.over = matches!(status.code(), tonic::Code::NotFound | tonic::Code::PermissionDenied);
        tracing::debug!(task_id = %self.task, code = ?status.code(), "a task is not watched for now");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells how a task ended whose last frame is lost.
fn last(task: Task) -> Frame {
    let update = TaskUpdate { status: task.status, percentage: -1.0, attempt: task.attempts, ..TaskUpdate::default() };
    Frame {
        at: Some(time::to_proto(SystemTime::now())),
        task_id: task.task_id,
        session_id: task.session_id,
        tenant_id: task.tenant_id,
        tier: task.tier,
        body: Some(Body::TaskUpdate(update)),
        ..Frame::default()
    }
}
