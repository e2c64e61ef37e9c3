//! `/api/v1/tasks/{id}`: how a request is getting on, and giving it up.

use action::{Domain, TaskId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use fault::{Failure, reason};
use http::HeaderMap;
use proto::action::v1::Status;
use proto::task::v1::{CancelTaskRequest, GetTaskRequest, ListTasksRequest, Task};
use serde_json::Value;
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
    read(&edge, &caller, &id).await
}

/// Returns a task of a tenant.
pub(crate) async fn read(edge: &Edge, caller: &Caller, id: &str) -> Result<Json<TaskView>, Refusal> {
    let task_id = parse(id)?.to_string();
    let request = edge.call(GetTaskRequest { task_id });
    let response = edge.peers.tasks(Domain::Orchestrator, caller).get_task(request).await?;
    view(response.into_inner().task)
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

fn status(word: &str) -> Result<Status, Failure> {
    Ok(match word {
        "pending" => Status::Pending,
        "running" => Status::Running,
        "completed" => Status::Completed,
        "failed" => Status::Failed,
        "timeout" => Status::Timeout,
        "cancelled" => Status::Cancelled,
        _ => return Err(wrong("status", "is one of pending, running, completed, failed, timeout, cancelled")),
    })
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
    parse(&id)?;
    let reason = why(&edge, &headers, body).await?;
    give_up(&edge, &caller, &id, reason).await
}

/// Gives up a task of a tenant.
pub(crate) async fn give_up(edge: &Edge, caller: &Caller, id: &str, reason: String) -> Result<Json<TaskView>, Refusal> {
    let task_id = parse(id)?.to_string();
    let request = edge.call(CancelTaskRequest { task_id, reason });
    let response = edge.peers.tasks(Domain::Orchestrator, caller).cancel_task(request).await?;
    tracing::info!(task_id = id, "task cancelled by its tenant");
    view(response.into_inner().task)
}

/// Reads the id of a task.
pub(crate) fn parse(id: &str) -> Result<TaskId, Failure> {
    id.parse().map_err(|_| Failure::new(&reason::INVALID_REQUEST, "a task id is a UUID").field("task_id"))
}

fn view(task: Option<Task>) -> Result<Json<TaskView>, Refusal> {
    let missing = || Failure::new(&reason::TASK_NOT_FOUND, "the tenant has no task with this id").field("task_id");
    Ok(Json(TaskView::from(task.ok_or_else(missing)?)))
}

async fn why(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<String, Failure> {
    // A request without a body says so by its length, or by saying nothing about one.
    let empty = body::announced(headers).is_none_or(|length| length == 0);
    if empty && !headers.contains_key(http::header::TRANSFER_ENCODING) {
        return Ok(String::new());
    }
    let mut fields = body::json_object(headers, body, edge.body()).await?;
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
