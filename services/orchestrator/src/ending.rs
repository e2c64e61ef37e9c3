//! What a session is shown when a task has ended.

use std::collections::HashMap;

use action::{Contract as _, Outcome, detail_of};
use fault::Failure;
use prost_types::Any;
use proto::action::v1::{Callback, Status};
use proto::execution::v1::AgentRun;
use proto::ingestion::v1::ProcessDocument;
use proto::query::v1::{GenerateAnswer, IndexChunks, SearchPassages};
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentInfo, AgentResponse, TaskError, TaskUpdate};

use crate::callback::seconds;

/// Makes the last thing that is said about a task: an answer, the end of other work, or what went wrong.
pub(crate) fn ending(callback: &Callback) -> Body {
    if callback.status() != Status::Completed {
        return Body::Error(error(callback));
    }
    match completed(callback) {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(source = callback.source_action_type, %error, "the result of a completed task does not decode");
            Body::Error(unreadable(callback))
        }
    }
}

fn completed(callback: &Callback) -> Result<Body, action::Error> {
    let result = callback.result.as_ref().ok_or(action::Error::Missing("result"))?;
    match callback.source_action_type.as_str() {
        kind if kind == AgentRun::KIND.as_str() => {
            let reply = Outcome::reply::<AgentRun>(result)?;
            let answer = AgentResponse { response: reply.response, sources: reply.sources, ..answered(callback) };
            Ok(Body::AgentResponse(AgentResponse { agent_info: reply.agent_info, ..answer }))
        }
        kind if kind == GenerateAnswer::KIND.as_str() => {
            let reply = Outcome::reply::<GenerateAnswer>(result)?;
            let answer = AgentResponse { response: reply.response, sources: reply.sources, ..answered(callback) };
            let agent = AgentInfo { model_used: reply.model_used, ..AgentInfo::default() };
            Ok(Body::AgentResponse(AgentResponse { agent_info: Some(agent), ..answer }))
        }
        kind => Ok(Body::TaskUpdate(TaskUpdate {
            status: Status::Completed.into(),
            stage: "completed".to_owned(),
            attempt: callback.attempts,
            percentage: 100.0,
            message: String::new(),
            result: facts(kind, result)?,
        })),
    }
}

fn answered(callback: &Callback) -> AgentResponse {
    AgentResponse {
        status: Status::Completed.into(),
        execution_time: seconds(callback.execution_time.as_ref()),
        tokens_used: callback.tokens_used,
        events: callback.events.clone(),
        ..AgentResponse::default()
    }
}

/// Tells a result as facts by name; results that nobody looks at in a session, such as vectors, have none.
fn facts(kind: &str, result: &Any) -> Result<HashMap<String, String>, action::Error> {
    let facts: Vec<(&str, String)> = match kind {
        kind if kind == ProcessDocument::KIND.as_str() => {
            let reply = Outcome::reply::<ProcessDocument>(result)?;
            vec![
                ("document_id", reply.document_id),
                ("collection_id", reply.collection_id),
                ("title", reply.title),
                ("chunks", reply.chunks.to_string()),
                ("characters", reply.characters.to_string()),
            ]
        }
        kind if kind == IndexChunks::KIND.as_str() => {
            vec![("indexed", Outcome::reply::<IndexChunks>(result)?.indexed.to_string())]
        }
        kind if kind == SearchPassages::KIND.as_str() => {
            vec![("passages", Outcome::reply::<SearchPassages>(result)?.sources.len().to_string())]
        }
        _ => Vec::new(),
    };
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn error(callback: &Callback) -> TaskError {
    TaskError {
        error: Some(callback.error.clone().unwrap_or_else(|| detail_of(&Failure::internal()))),
        status: callback.status,
        execution_time: seconds(callback.execution_time.as_ref()),
    }
}

fn unreadable(callback: &Callback) -> TaskError {
    TaskError {
        error: Some(detail_of(&Failure::internal())),
        status: Status::Failed.into(),
        execution_time: seconds(callback.execution_time.as_ref()),
    }
}

#[cfg(test)]
mod tests;
