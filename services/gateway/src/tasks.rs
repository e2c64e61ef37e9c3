//! `/api/v1/tasks/{id}`: how a request is getting on, and giving it up.

use action::{Domain, TaskId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use fault::{Failure, reason};
use http::HeaderMap;
use proto::task::v1::{CancelTaskRequest, GetTaskRequest, Task};
use serde_json::{Map, Value};
use service_kit::Caller;

use crate::body;
use crate::edge::Edge;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::TaskView;

const MAX_REASON: usize = 200;

/// Handles `GET /api/v1/tasks/{id}`.
pub(crate) async fn get(
    State(edge): State<Edge>,
    Segment(id): Segment,
    headers: HeaderMap,
) -> Result<Json<TaskView>, Refusal> {
    let caller = edge.prove(&headers).await?;
    Ok(Json(TaskView::from(find(&edge, &caller, parse(&id)?).await?)))
}

/// Handles `POST /api/v1/tasks/{id}/cancel`, with or without a body `{"reason": …}`.
pub(crate) async fn cancel(
    State(edge): State<Edge>,
    Segment(id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TaskView>, Refusal> {
    let caller = edge.prove(&headers).await?;
    let task = parse(&id)?;
    let reason = given_reason(&mut body::optional_object(&headers, body, edge.body()).await?)?;
    Ok(Json(TaskView::from(give_up(&edge, &caller, task, reason).await?)))
}

/// Returns a task of the caller's tenant.
pub(crate) async fn find(edge: &Edge, caller: &Caller, task: TaskId) -> Result<Task, Failure> {
    let request = edge.call(GetTaskRequest { task_id: task.to_string() });
    let found = edge.peers.tasks(Domain::Orchestrator, caller).get_task(request).await;
    found.map_err(|status| Failure::from_status(&status))?.into_inner().task.ok_or_else(missing)
}

/// Gives up a task of the caller's tenant, and returns it as it is then.
pub(crate) async fn give_up(edge: &Edge, caller: &Caller, task: TaskId, reason: String) -> Result<Task, Failure> {
    let request = edge.call(CancelTaskRequest { task_id: task.to_string(), reason });
    let cancelled = edge.peers.tasks(Domain::Orchestrator, caller).cancel_task(request).await;
    let cancelled = cancelled.map_err(|status| Failure::from_status(&status))?.into_inner();
    tracing::info!(task_id = %task, "task cancelled by its tenant");
    cancelled.task.ok_or_else(missing)
}

/// Reads the id of a task.
pub(crate) fn parse(id: &str) -> Result<TaskId, Failure> {
    id.parse().map_err(|_| Failure::new(&reason::INVALID_REQUEST, "a task id is a UUID").field("task_id"))
}

fn missing() -> Failure {
    Failure::new(&reason::TASK_NOT_FOUND, "the tenant has no task with this id").field("task_id")
}

/// Takes the reason for a cancellation out of the fields of a request; empty when there is none.
pub(crate) fn given_reason(fields: &mut Map<String, Value>) -> Result<String, Failure> {
    match fields.remove("reason") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) if text.chars().count() <= MAX_REASON => Ok(text),
        Some(_) => {
            let text = format!("`reason` must be a text of at most {MAX_REASON} characters");
            Err(Failure::new(&reason::INVALID_FIELD, text).field("reason"))
        }
    }
}
