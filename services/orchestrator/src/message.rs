//! What a caller may send, parsed once: a [`Message`] is well formed and its context fits its type.

use std::collections::BTreeMap;

use action::{AgentId, CollectionId, ExecutionContext, SessionId, TaskId, UserId, agent_run};
use fault::{Failure, Fault as _, reason};
use proto::action::v1::ContextType;
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::SendMessageRequest;
use service_kit::Terms;

use crate::Error;

/// Most characters of a client's version.
const VERSION_CHARACTERS: usize = 64;
/// Where a request may come from.
const SOURCES: [&str; 3] = ["web", "mobile", "api"];

/// A message of a user to an agent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// What the agent shall answer, its turn numbered.
    pub(crate) run: AgentRun,
    agent: AgentId,
    session: Option<SessionId>,
    collection: Option<CollectionId>,
    user: Option<UserId>,
    in_collection: bool,
    facts: BTreeMap<String, String>,
    callback_queue: String,
    timeout: Option<prost_types::Duration>,
    task: Option<TaskId>,
}

impl Message {
    /// Reads and checks a request; the failure names the field at fault.
    pub(crate) fn parse(request: SendMessageRequest) -> Result<Self, Error> {
        let agent = request.agent_id.parse()?;
        let session = optional(&request.session_id)?;
        let collection: Option<CollectionId> = optional(&request.collection_id)?;
        let in_collection = in_collection(request.context_type, collection.is_some())?;
        let user: Option<UserId> = optional(&request.user_id)?;
        let run = agent_run::accepted(request.run).map_err(|invalid| invalid.failure())?;
        let facts = facts(&request.request_source, &request.client_version, user.as_ref(), &run.conversation_id)?;
        let task = optional(&request.task_id)?;
        let (callback_queue, timeout) = (request.callback_queue, request.timeout);
        Ok(Self { run, agent, session, collection, user, in_collection, facts, callback_queue, timeout, task })
    }

    /// Makes the context in which the agent answers.
    pub(crate) fn context(&self) -> ExecutionContext {
        let mut context = ExecutionContext::agent(self.agent.clone());
        if let Some(collection) = &self.collection {
            if self.in_collection {
                let agents = context.agents;
                context = ExecutionContext::collection(collection.clone());
                context.primary_agent = Some(self.agent.clone());
                context.agents = agents;
            } else {
                context.collections = vec![collection.clone()];
            }
        }
        context.metadata.clone_from(&self.facts);
        context
    }

    /// Returns what is asked for beside the run.
    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            session_id: self.session.as_ref().map_or("", SessionId::as_str),
            user: self.user.clone(),
            callback_queue: &self.callback_queue,
            timeout: self.timeout.as_ref(),
            task: self.task,
        }
    }
}

fn in_collection(kind: i32, has_collection: bool) -> Result<bool, Error> {
    match ContextType::try_from(kind) {
        Ok(ContextType::Unspecified | ContextType::Agent) => Ok(false),
        Ok(ContextType::Collection) if has_collection => Ok(true),
        Ok(ContextType::Collection) => {
            Err(Failure::new(&reason::INVALID_CONTEXT_TYPE, "a collection context needs the id of the collection")
                .field("collection_id")
                .into())
        }
        Ok(ContextType::Workflow) => {
            Err(Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, "workflow contexts are not served by this version")
                .field("context_type")
                .into())
        }
        Err(_) => Err(action::Error::ContextType("the context type must be agent, workflow or collection").into()),
    }
}

/// Gathers the facts about the request that travel with its context.
fn facts(
    source: &str,
    version: &str,
    user: Option<&UserId>,
    conversation: &str,
) -> Result<BTreeMap<String, String>, Error> {
    if !source.is_empty() && !SOURCES.contains(&source) {
        return Err(wrong("request_source", "the source is one of web, mobile, api"));
    }
    if version.len() > VERSION_CHARACTERS || !version.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(wrong(
            "client_version",
            format!("a version has at most {VERSION_CHARACTERS} printable characters"),
        ));
    }
    let facts = [
        ("user_id", user.map_or("", UserId::as_str)),
        ("conversation_id", conversation),
        ("request_source", source),
        ("client_version", version),
        ("created_from", "message"),
    ];
    let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
    Ok(known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn optional<T: std::str::FromStr<Err = action::Error>>(text: &str) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(text.parse()?)) }
}

fn wrong(field: &'static str, text: impl Into<String>) -> Error {
    Failure::new(&reason::INVALID_FIELD, text).field(field).into()
}

#[cfg(test)]
mod tests;
