//! The frames that answer what a client asked for. They belong to no log and have no position.

use fault::{Failure, Problem};
use proto::task::v1::Task;
use serde_json::json;

use super::frames::{Addressee, Envelope, Kind};
use crate::chat::ChatView;
use crate::view::{now, status_word};

impl Addressee {
    /// Says that a message was accepted.
    pub(super) fn accepted(&self, accepted: &ChatView) -> Envelope {
        let data = json!({
            "task_id": accepted.task_id,
            "status": "pending",
            "queue_name": accepted.queue_name,
            "estimated_time": accepted.estimated_time,
        });
        self.envelope(Kind::TaskUpdate, data).of_task(&accepted.task_id)
    }

    /// Says that a task was given up; its last frame follows in its session.
    pub(super) fn cancelled(&self, task: &Task) -> Envelope {
        let data =
            json!({ "task_id": task.task_id, "status": status_word(task.status), "queue_name": task.queue_name });
        self.envelope(Kind::TaskUpdate, data).of_task(&task.task_id)
    }

    /// Says what the socket is subscribed to now.
    pub(super) fn subscribed(&self, tasks: &[String], agents: &[String]) -> Envelope {
        self.envelope(Kind::Subscribed, json!({ "tasks": tasks, "agents": agents }))
    }

    /// Says why something that was asked for is not done, as the problem of a route would.
    pub(super) fn refusal(&self, failure: &Failure) -> Envelope {
        let problem = Problem::of(failure);
        let data = json!({
            "error": problem.detail,
            "error_type": "RequestError",
            "error_code": problem.reason,
            "timestamp": now(),
            "reason": problem.reason,
            "type": problem.kind,
            "field": problem.field,
            "retry_after": problem.retry_after,
            "limits": problem.extensions,
        });
        self.envelope(Kind::Error, data)
    }
}
