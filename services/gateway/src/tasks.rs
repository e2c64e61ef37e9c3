//! `/api/v1/tasks/{id}`: how a request is getting on, and giving it up.

use action::{Domain, TaskId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use fault::{Failure, reason};
use http::HeaderMap;
use proto::action::v1::Status;
use proto::task::v1::{CancelTaskRequest, GetTaskRequest, ListTasksRequest, Task};
use serde_json::{Map, Value};
use service_kit::Caller;
use utoipa::ToSchema;

use crate::body;
use crate::edge::Edge;
use crate::identity::Proved;
use crate::openapi::ProblemView;
use crate::params::{Params, wrong};
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::{TaskView, TasksView, filled};

const MAX_REASON: usize = 200;

/// Why a task is given up.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the contract's picture of a body that is read field by field")]
pub(crate) struct ReasonBody {
    /// For the record, at most 200 characters.
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Returns a task: how far it is, what came of it, what happened.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "getTask",
    params(("id" = String, Path, description = "The task's id")),
    responses((status = 200, body = TaskView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn get(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(id): Segment,
) -> Result<Json<TaskView>, Refusal> {
    Ok(Json(TaskView::from(find(&edge, &caller, parse(&id)?).await?)))
}

/// Lists the tenant's tasks, newest first, without results and events.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "listTasks",
    params(
        ("status" = Option<String>, Query, description = "pending, running, completed, failed, timeout or cancelled"),
        ("page_size" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Most entries; 20 when absent"),
        ("page_token" = Option<String>, Query, description = "Where to go on, from the answer before"),
    ),
    responses((status = 200, body = TasksView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn list(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Json<TasksView>, Refusal> {
    let page = params.page()?;
    let status = params.one("status")?.map(status).transpose()?.unwrap_or_default();
    let request = ListTasksRequest { page_size: page.size, page_token: page.token, status: status.into() };
    let request = edge.call(request);
    let response = edge.peers.tasks(Domain::Orchestrator, &caller).list_tasks(request).await?.into_inner();
    let tasks = response.tasks.into_iter().map(TaskView::from).collect();
    Ok(Json(TasksView { tasks, next_page_token: filled(response.next_page_token) }))
}

/// What a list of tasks can be asked for.
pub(crate) const STATUSES: [(&str, Status); 6] = [
    ("pending", Status::Pending),
    ("running", Status::Running),
    ("completed", Status::Completed),
    ("failed", Status::Failed),
    ("timeout", Status::Timeout),
    ("cancelled", Status::Cancelled),
];

fn status(word: &str) -> Result<Status, Failure> {
    let named = STATUSES.into_iter().find(|(name, _)| *name == word);
    let wrong = || wrong("status", &format!("is one of {}", STATUSES.map(|(name, _)| name).join(", ")));
    named.map(|(_, status)| status).ok_or_else(wrong)
}

/// Gives a task up; one that runs learns of it within about a second. The body may be absent.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", operation_id = "cancelTask",
    params(("id" = String, Path, description = "The task's id")),
    request_body = Option<ReasonBody>,
    responses((status = 200, body = TaskView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn cancel(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TaskView>, Refusal> {
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
        Some(Value::String(text)) => check_reason(&text).map(|()| text),
        Some(_) => Err(wrong_reason()),
    }
}

/// Checks why a task is given up.
pub(crate) fn check_reason(text: &str) -> Result<(), Failure> {
    if text.chars().count() <= MAX_REASON { Ok(()) } else { Err(wrong_reason()) }
}

fn wrong_reason() -> Failure {
    let text = format!("`reason` must be a text of at most {MAX_REASON} characters");
    Failure::new(&reason::INVALID_FIELD, text).field("reason")
}
