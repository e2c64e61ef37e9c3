//! What a client asks for, in OpenAI's words.

use action::{ContextType, ConversationId, UserId, agent_run};
use fault::{Failure, Fault as _, reason};
use http::HeaderMap;
use proto::execution::v1::{AgentRun, PriorMessage};
use serde::Deserialize;
use utoipa::ToSchema;

use super::models::agent_of;
use crate::chat::ChatBody;
use crate::headers::{self, Destination, name};

/// The body of a completion. Settings of models that agents decide themselves are accepted and passed over.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CompletionBody {
    /// `agent:<id>`.
    model: String,
    /// The conversation, oldest first; the last message is the question and of the role `user`.
    messages: Vec<MessageBody>,
    /// Whether the answer comes in pieces.
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    /// Person who asks.
    #[serde(default)]
    user: Option<String>,
    /// Answers wanted; only one is given.
    #[serde(default)]
    n: Option<u32>,
}

/// What a stream carries besides the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// Whether the last piece tells the tokens.
    #[serde(default)]
    include_usage: bool,
}

/// One message of the conversation.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct MessageBody {
    /// `user` or `assistant`; `system` and `developer` are passed over, as the agent has its own.
    role: String,
    content: Content,
}

/// A text, whole or in parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<PartBody>),
}

/// A part of a text.
#[derive(Debug, Deserialize, ToSchema)]
struct PartBody {
    /// `text`.
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

/// A question, understood.
pub(super) struct Question {
    pub(super) model: String,
    pub(super) to: Destination,
    pub(super) text: ChatBody,
    pub(super) stream: bool,
    pub(super) with_usage: bool,
}

impl Question {
    pub(super) fn read(body: CompletionBody, headers: &HeaderMap) -> Result<Self, Failure> {
        headers::unique(headers, [name::USER, name::CONVERSATION, name::COLLECTION].iter())?;
        if body.n.is_some_and(|number| number != 1) {
            return Err(invalid("n", "must be 1"));
        }
        let agent =
            agent_of(&body.model).ok_or_else(|| invalid("model", "must be `agent:<id>` of an agent of the tenant"))?;
        let user = body.user.as_deref().filter(|user| !user.is_empty());
        let user: Option<UserId> = match user {
            Some(user) => {
                Some(user.parse().map_err(|_| invalid("user", "must be 3 to 64 characters out of A-Z a-z 0-9 _ -"))?)
            }
            None => headers::id(headers, name::USER)?,
        };
        let conversation: Option<ConversationId> = headers::id(headers, name::CONVERSATION)?;
        let to = Destination {
            agent,
            // Nobody follows it; the answer goes out with the response.
            session: None,
            context: ContextType::Agent,
            collection: headers::id(headers, name::COLLECTION)?,
            user,
            conversation,
            source: "api".to_owned(),
            version: String::new(),
            address: None,
        };
        let text = ChatBody::of(run(body.messages)?);
        let with_usage = body.stream_options.unwrap_or_default().include_usage;
        Ok(Self { model: body.model, to, text, stream: body.stream, with_usage })
    }
}

fn run(messages: Vec<MessageBody>) -> Result<AgentRun, Failure> {
    let mut told = Vec::new();
    for message in messages {
        match message.role.as_str() {
            "user" | "assistant" => told.push(PriorMessage { content: message.content.text()?, role: message.role }),
            "system" | "developer" => {}
            _ => return Err(invalid("messages", "may hold roles user, assistant, system and developer only")),
        }
    }
    let question = told.pop().filter(|last| last.role == "user");
    let question = question.ok_or_else(|| invalid("messages", "must end with a message of the role user"))?;
    let run = AgentRun { message: question.content, history: told, ..AgentRun::default() };
    agent_run::checked(run).map_err(|wrong| wrong.failure().field("messages"))
}

impl Content {
    fn text(self) -> Result<String, Failure> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Parts(parts) if parts.iter().all(|part| part.kind == "text") => {
                Ok(parts.into_iter().map(|part| part.text).collect::<Vec<_>>().join("\n"))
            }
            Self::Parts(_) => Err(invalid("messages", "may hold text only")),
        }
    }
}

fn invalid(field: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_FIELD, format!("`{field}` {rule}")).field(field)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::Question;

    fn read(body: Value) -> Result<Question, String> {
        let body = serde_json::from_value(body).map_err(|error| error.to_string())?;
        Question::read(body, &HeaderMap::new()).map_err(|failure| failure.field_name().unwrap_or("none").to_owned())
    }

    #[test]
    fn the_last_message_is_the_question_and_the_rest_the_history() {
        let question = read(json!({
            "model": "agent:sales",
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "hello" },
                { "role": "assistant", "content": "hi" },
                { "role": "user", "content": [{ "type": "text", "text": "what" }, { "type": "text", "text": "now" }] },
            ],
            "temperature": 0.2,
            "stream": true,
            "stream_options": { "include_usage": true },
        }))
        .expect("it is well formed");
        assert!(question.stream && question.with_usage);
        assert_eq!(question.to.agent.as_str(), "sales");
        let run = question.text.run();
        assert_eq!(run.message, "what\nnow");
        let told: Vec<_> =
            run.history.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
        assert_eq!(told, [("user", "hello"), ("assistant", "hi")]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let messages = json!([{ "role": "user", "content": "hello" }]);
        for (body, field) in [
            (json!({ "model": "gpt-4o", "messages": messages }), "model"),
            (json!({ "model": "agent:x", "messages": messages }), "model"),
            (json!({ "model": "agent:sales", "messages": messages, "n": 2 }), "n"),
            (json!({ "model": "agent:sales", "messages": messages, "user": "a b" }), "user"),
            (json!({ "model": "agent:sales", "messages": [] }), "messages"),
            (json!({ "model": "agent:sales", "messages": [{ "role": "tool", "content": "x" }] }), "messages"),
            (json!({ "model": "agent:sales", "messages": [{ "role": "assistant", "content": "x" }] }), "messages"),
            (json!({ "model": "agent:sales", "messages": [{ "role": "user", "content": "" }] }), "messages"),
            (
                json!({ "model": "agent:sales", "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
                "messages",
            ),
        ] {
            assert_eq!(read(body.clone()).err().as_deref(), Some(field), "{body}");
        }
    }
}
