//! Watching a task that another session shows, or none: out of its log, over the streams that carry the sessions as well. Its
//! record is looked at when nothing comes, so that the watching ends when the task has, also when its last frame is lost.

use std::time::{Duration, SystemTime};

use action::{TaskId, time};
use futures::{Stream, stream};
use proto::task::v1::frame::Body;
use proto::task::v1::{Frame, Task, TaskUpdate};

use super::frames::ends_task;
use super::mailbox::Push;
use super::proof::Principal;
use super::subscriptions::Look;
use crate::tasks;
use crate::view::is_final;

/// Time without a frame after which the record of a task is looked at.
const QUIET: Duration = Duration::from_secs(20);
/// Time for the last frame to follow the record of a task that has ended: it comes through the callback queue.
const LAG: Duration = Duration::from_secs(5);

/// Returns the frames of a task, those that were before included, up to its last one.
pub(super) fn watch(
    principal: &Principal,
    record: Task,
    task: TaskId,
    look: Look,
) -> impl Stream<Item = Frame> + Send + use<> {
    let watch = Watch { principal: principal.clone(), task, record, look, over: false };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) })
}

struct Watch {
    principal: Principal,
    task: TaskId,
    /// The task as it was last seen.
    record: Task,
    look: Look,
    over: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Frame> {
        while !self.over {
            let ended = is_final(self.record.status);
            let patience = if ended { LAG } else { QUIET };
            match tokio::time::timeout(patience, self.look.following.next()).await {
                Ok(Some(Push::Frame(frame))) => {
                    self.over = ends_task(&frame);
                    return Some(*frame);
                }
                Ok(Some(Push::Attached(_) | Push::Gap(_) | Push::Resumed(_))) => {}
                Ok(Some(Push::Refused(_)) | None) => self.over = true,
                Err(_) if ended => {
                    self.over = true;
                    return Some(last(&self.record));
                }
                Err(_) => self.look_it_up().await,
            }
        }
        None
    }

    /// A task whose record is gone is over.
    async fn look_it_up(&mut self) {
        let Ok(caller) = Box::pin(self.principal.prove()).await else { return };
        match Box::pin(tasks::find(&self.principal.edge, &caller, self.task)).await {
            Ok(record) => self.record = record,
            Err(failure) => self.over = !failure.is_transient(),
        }
    }
}

/// Tells how a task ended whose last frame is lost.
fn last(task: &Task) -> Frame {
    let update = TaskUpdate { status: task.status, percentage: -1.0, attempt: task.attempts, ..TaskUpdate::default() };
    Frame {
        at: Some(time::to_proto(SystemTime::now())),
        task_id: task.task_id.clone(),
        session_id: task.session_id.clone(),
        tenant_id: task.tenant_id.clone(),
        tier: task.tier,
        body: Some(Body::TaskUpdate(update)),
        ..Frame::default()
    }
}
