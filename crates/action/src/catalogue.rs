//! The typed catalogue of actions: which payload an action type takes and what it replies. Append only.

use std::fmt;

use prost::{Message as _, Name as _};
use prost_types::Any;
use proto::{embedding, execution, ingestion, query};

use crate::envelope::same_type;
use crate::{Domain, Error};

/// A message that may be the payload of an action. Implemented in this file only, so that an unknown action type or a
/// wrong payload does not compile.
pub trait Contract: prost::Message + prost::Name + Default + Clone + 'static {
    /// Type of the action.
    const KIND: Kind;
    /// What a completed action replies.
    type Reply: prost::Message + prost::Name + Default + Clone + 'static;
}

/// The type of an action, `{domain}.{action}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    name: &'static str,
    domain: Domain,
}

impl Kind {
    /// Returns the whole name, e.g. `query.search`.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Returns the domain that handles it.
    pub const fn domain(self) -> Domain {
        self.domain
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One line of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Type of the action.
    pub kind: Kind,
    /// Type URL of its payload.
    pub payload: String,
    /// Type URL of its reply.
    pub reply: String,
    is_reply: fn(&[u8]) -> bool,
}

impl Entry {
    /// Checks a reply that was made outside, and returns it with its type in our own spelling.
    pub fn read_reply(&self, result: Any) -> Result<Any, Error> {
        let kind = || self.kind.to_string();
        if !same_type(&result.type_url, &self.reply) {
            let (expected, found) = (self.reply.clone(), result.type_url);
            return Err(Error::PayloadMismatch { kind: kind(), expected, found });
        }
        if !(self.is_reply)(&result.value) {
            return Err(Error::PayloadMalformed(kind()));
        }
        Ok(Any { type_url: self.reply.clone(), value: result.value })
    }
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:literal @ $domain:ident : $payload:ty => $reply:ty;)*) => {
        $(impl Contract for $payload {
            const KIND: Kind = Kind { name: $name, domain: Domain::$domain };
            type Reply = $reply;
        })*

        /// Lists every action type with its payload and reply.
        pub fn entries() -> Vec<Entry> {
            vec![$(entry::<$payload>()),*]
        }

        /// Finds an action type by its name, in its canonical spelling.
        pub fn find(name: &str) -> Option<Entry> {
            match name {
                $($name => Some(entry::<$payload>()),)*
                _ => None,
            }
        }
    };
}

catalogue! {
    // An agent answers a message.
    "execution.agent_run" @ Execution: execution::v1::AgentRun => execution::v1::AgentRunResult;
    // Texts become vectors.
    "embedding.generate" @ Embedding: embedding::v1::GenerateEmbeddings => embedding::v1::GenerateEmbeddingsResult;
    // Passages near a text are found.
    "query.search" @ Query: query::v1::SearchPassages => query::v1::SearchPassagesResult;
    // A question is answered from documents.
    "query.generate" @ Query: query::v1::GenerateAnswer => query::v1::GenerateAnswerResult;
    // Chunks of a document become findable.
    "query.index" @ Query: query::v1::IndexChunks => query::v1::IndexChunksResult;
    // A document is read, cut, embedded and indexed.
    "ingestion.process_document" @ Ingestion: ingestion::v1::ProcessDocument => ingestion::v1::ProcessDocumentResult;
}

fn entry<C: Contract>() -> Entry {
    let is_reply = |bytes: &[u8]| C::Reply::decode(bytes).is_ok();
    Entry { kind: C::KIND, payload: C::type_url(), reply: C::Reply::type_url(), is_reply }
}

/// Returns the type of the callback of a domain, e.g. `execution.callback`.
pub const fn callback_of(domain: Domain) -> &'static str {
    match domain {
        Domain::Orchestrator => "orchestrator.callback",
        Domain::Workflow => "workflow.callback",
        Domain::Execution => "execution.callback",
        Domain::Ingestion => "ingestion.callback",
        Domain::Query => "query.callback",
        Domain::Embedding => "embedding.callback",
        Domain::Conversation => "conversation.callback",
        Domain::Management => "management.callback",
    }
}

/// Returns the canonical spelling of an action type that the mission's documents or a predecessor spell differently.
pub fn canonical(name: &str) -> &str {
    match name {
        "agent.execute" | "execution.execute" | "chat.process" | "execution.chat.process" => "execution.agent_run",
        "embedding.generate.sync" | "embedding.request" => "embedding.generate",
        "query.generate.sync" | "query.rag.sync" | "query.request" => "query.generate",
        "query.search.sync" => "query.search",
        "document.process" | "document.process.sync" | "ingestion.process" => "ingestion.process_document",
        other => other,
    }
}
