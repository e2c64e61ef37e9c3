//! A task as callers read it.

use action::{Outcome, time};
use proto::action::v1 as wire;
use proto::execution::v1::AgentRun;
use proto::ingestion::v1::ProcessDocument;
use proto::query::v1::{GenerateAnswer, SearchPassages};
use proto::task::v1::Task;
use serde::Serialize;
use utoipa::ToSchema;

use super::{AgentInfo, Source, Tokens, filled, status_word, tier_word};

/// What `GET /api/v1/tasks/{id}` answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TaskView {
    task_id: String,
    action_type: String,
    status: &'static str,
    stage: Option<String>,
    tenant_id: String,
    tenant_tier: &'static str,
    session_id: Option<String>,
    context_id: Option<String>,
    queue_name: String,
    attempts: u32,
    created_at: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    result: Option<TaskReply>,
    error: Option<ErrorView>,
    tokens_used: Tokens,
    events: Vec<Event>,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        let result = TaskReply::of(&task);
        Self {
            task_id: task.task_id,
            action_type: task.action_type,
            status: status_word(task.status),
            stage: filled(task.stage),
            tenant_id: task.tenant_id,
            tenant_tier: tier_word(task.tier),
            session_id: filled(task.session_id),
            context_id: filled(task.context_id),
            queue_name: task.queue_name,
            attempts: task.attempts,
            created_at: task.created_at.map(|at| at.to_string()),
            started_at: task.started_at.map(|at| at.to_string()),
            finished_at: task.finished_at.map(|at| at.to_string()),
            result,
            error: task.error.map(ErrorView::from),
            tokens_used: task.tokens_used.into(),
            events: Event::list(task.events),
        }
    }
}

/// Tasks, a page of them, without results and events.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TasksView {
    pub(crate) tasks: Vec<TaskView>,
    /// Where to go on; null on the last page.
    pub(crate) next_page_token: Option<String>,
}

/// One step in the life of a task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    name: String,
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    attempt: u32,
    offset_ms: Option<f64>,
}

impl Event {
    /// Writes steps with their distance from the first one.
    pub(crate) fn list(events: Vec<wire::TaskEvent>) -> Vec<Self> {
        let origin = events.iter().find_map(|event| event.at.as_ref()).map(time::to_unix_us);
        events.into_iter().map(|event| Self::of(event, origin)).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "a task lives far shorter than 2^52 microseconds")]
    fn of(event: wire::TaskEvent, origin: Option<u64>) -> Self {
        let at = event.at.as_ref().map(time::to_unix_us);
        let offset_ms = at.zip(origin).map(|(at, origin)| (at.cast_signed() - origin.cast_signed()) as f64 / 1_000.0);
        Self {
            name: event.name,
            at: event.at.map(|at| at.to_string()),
            domain: filled(event.domain),
            attempt: event.attempt,
            offset_ms,
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ErrorView {
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
}

impl From<wire::ErrorDetail> for ErrorView {
    fn from(error: wire::ErrorDetail) -> Self {
        let retry_after = error.retry_after.as_ref().and_then(time::duration_from_proto);
        Self {
            reason: error.reason,
            message: error.message,
            field: filled(error.field),
            retry_after: retry_after.map(|delay| delay.as_secs_f64()),
        }
    }
}

/// What a completed task gave, by the type of its root action.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TaskReply {
    /// `execution.agent_run`
    Answer { response: String, sources: Vec<Source>, agent_info: Option<AgentInfo>, found: bool, iterations_used: u32 },
    /// `query.generate`
    Generated { response: String, sources: Vec<Source>, found: bool, model_used: String },
    /// `query.search`
    Found { sources: Vec<Source> },
    /// `ingestion.process_document`
    Document { document_id: String, collection_id: String, title: String, chunks: u32, characters: u64 },
    /// Results that are read over gRPC; their type is named.
    Other { type_url: String },
}

impl TaskReply {
    fn of(task: &Task) -> Option<Self> {
        let result = task.result.as_ref()?;
        let other = || Self::Other { type_url: result.type_url.clone() };
        if let Ok(reply) = Outcome::reply::<AgentRun>(result) {
            return Some(Self::Answer {
                response: reply.response,
                sources: reply.sources.into_iter().map(Source::from).collect(),
                agent_info: reply.agent_info.map(AgentInfo::from),
                found: reply.found,
                iterations_used: reply.iterations_used,
            });
        }
        if let Ok(reply) = Outcome::reply::<GenerateAnswer>(result) {
            return Some(Self::Generated {
                response: reply.response,
                sources: reply.sources.into_iter().map(Source::from).collect(),
                found: reply.found,
                model_used: reply.model_used,
            });
        }
        if let Ok(reply) = Outcome::reply::<SearchPassages>(result) {
            return Some(Self::Found { sources: reply.sources.into_iter().map(Source::from).collect() });
        }
        let Ok(reply) = Outcome::reply::<ProcessDocument>(result) else { return Some(other()) };
        Some(Self::Document {
            document_id: reply.document_id,
            collection_id: reply.collection_id,
            title: reply.title,
            chunks: reply.chunks,
            characters: reply.characters,
        })
    }
}
