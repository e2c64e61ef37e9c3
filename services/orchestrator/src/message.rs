//! What a caller may send, parsed once: a [`Message`] is well formed and its context fits its type.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use action::{
    AgentId, CollectionId, ConversationId, Domain, ExecutionContext, QueueName, SessionId, TenantId, UserId, time,
};
use fault::{Failure, reason};
use proto::action::v1::ContextType;
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::SendMessageRequest;
use uuid::Uuid;

use crate::Error;

/// Most characters of a message, in Unicode scalar values.
const MESSAGE_CHARACTERS: usize = 4_000;
/// Most facts about a user, and the most characters of a fact's name and value.
const FACTS: usize = 32;
const FACT_NAME: usize = 64;
const FACT_VALUE: usize = 512;
/// Most characters of a client's version.
const VERSION_CHARACTERS: usize = 64;
/// Where a request may come from.
const SOURCES: [&str; 3] = ["web", "mobile", "api"];

/// A message of a user to an agent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Agent that shall answer.
    pub(crate) agent: AgentId,
    /// Session that shows the answer.
    pub(crate) session: SessionId,
    /// Collection to answer from.
    pub(crate) collection: Option<CollectionId>,
    /// User who wrote.
    pub(crate) user: Option<UserId>,
    /// Longest time that the caller gives it.
    pub(crate) timeout: Option<Duration>,
    run: AgentRun,
    in_collection: bool,
    callback: Option<QueueName>,
    facts: BTreeMap<String, String>,
}

impl Message {
    /// Reads and checks a request; the failure names the field at fault.
    pub(crate) fn parse(request: SendMessageRequest) -> Result<Self, Error> {
        let agent = request.agent_id.parse()?;
        let session = request.session_id.parse()?;
        let collection: Option<CollectionId> = optional(&request.collection_id)?;
        let in_collection = in_collection(request.context_type, collection.is_some())?;
        let user: Option<UserId> = optional(&request.user_id)?;
        let run = checked(request.run.ok_or(action::Error::Missing("run"))?)?;
        let facts = facts(&request.request_source, &request.client_version, user.as_ref(), &run.conversation_id)?;
        let timeout = request.timeout.as_ref().map(timeout).transpose()?;
        let callback = optional(&request.callback_queue)?;
        Ok(Self { agent, session, collection, user, timeout, run, in_collection, callback, facts })
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

    /// Returns where the outcome goes: the caller's choice, which must be its own tenant's, or the callbacks of `domain`.
    pub(crate) fn callback(&self, tenant: &TenantId, domain: Domain) -> Result<QueueName, Error> {
        match &self.callback {
            None => Ok(QueueName::callbacks(domain, tenant.clone())),
            Some(QueueName::Callbacks { tenant: owner, .. }) if owner != tenant => {
                Err(queue_refused("the callback queue belongs to another tenant"))
            }
            Some(QueueName::Actions { .. }) => Err(queue_refused("outcomes go to {domain}:{tenant_id}:callbacks")),
            Some(own) => Ok(own.clone()),
        }
    }

    /// Returns the run with its turn numbered within the conversation: the leading 64 bits of a fresh UUIDv7, which are the
    /// milliseconds at which it is accepted and a count within them, so that later turns have greater numbers.
    pub(crate) fn numbered(&self) -> AgentRun {
        let mut leading = [0; 8];
        leading.copy_from_slice(&Uuid::now_v7().as_bytes()[..8]);
        AgentRun { turn: u64::from_be_bytes(leading), ..self.run.clone() }
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

/// Checks what the user wrote.
fn checked(mut run: AgentRun) -> Result<AgentRun, Error> {
    let characters = run.message.chars().count();
    if run.message.trim().is_empty() || characters > MESSAGE_CHARACTERS {
        return Err(wrong(
            "message",
            format!("a message has 1 to {MESSAGE_CHARACTERS} characters, this has {characters}"),
        ));
    }
    if run.message_type.is_empty() {
        "text".clone_into(&mut run.message_type);
    }
    if run.message_type != "text" {
        return Err(wrong("message_type", "the only type of message is `text`"));
    }
    if !run.conversation_id.is_empty() {
        run.conversation_id.parse::<ConversationId>()?;
    }
    check_facts(&run.user_info)?;
    run.turn = 0;
    Ok(run)
}

fn check_facts(facts: &HashMap<String, String>) -> Result<(), Error> {
    if facts.len() > FACTS {
        return Err(wrong("user_info", format!("at most {FACTS} facts about the user are taken")));
    }
    let fits = |name: &str, value: &str| {
        (1..=FACT_NAME).contains(&name.chars().count()) && value.chars().count() <= FACT_VALUE
    };
    if facts.iter().all(|(name, value)| fits(name, value)) {
        return Ok(());
    }
    let bounds = format!("a fact's name has 1 to {FACT_NAME} characters, its value at most {FACT_VALUE}");
    Err(wrong("user_info", bounds))
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

fn timeout(given: &prost_types::Duration) -> Result<Duration, Error> {
    let positive = time::duration_from_proto(given).filter(|timeout| !timeout.is_zero());
    positive.ok_or_else(|| wrong("timeout", "a timeout is longer than nothing"))
}

fn optional<T: std::str::FromStr<Err = action::Error>>(text: &str) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(text.parse()?)) }
}

fn wrong(field: &'static str, text: impl Into<String>) -> Error {
    Failure::new(&reason::INVALID_FIELD, text).field(field).into()
}

fn queue_refused(text: &str) -> Error {
    Failure::new(&reason::INVALID_QUEUE_NAME, text).field("callback_queue").into()
}

#[cfg(test)]
mod tests;
