//! Answers in OpenAI's shape: whole, and in pieces.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::sse::Event;
use fault::Failure;
use futures::future::BoxFuture;
use futures::{Stream, stream};
use proto::action::v1::TokenUsage;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::shape;
use crate::watch::{Answer, Seen, Watch};

/// What all parts of an answer say.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    id: String,
    model: String,
    created: u64,
}

impl Labels {
    pub(super) fn new(task: &str, model: String) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { id: format!("chatcmpl-{task}"), model, created: since.as_secs() }
    }

    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        })
    }

    fn usage(&self, tokens: TokenUsage) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [],
            "usage": Usage::from(tokens),
        })
    }
}

/// A whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Completion {
    /// `chatcmpl-<task id>`.
    id: String,
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
}

/// The one answer.
#[derive(Debug, Serialize, ToSchema)]
struct Choice {
    index: u32,
    message: AnswerMessage,
    finish_reason: &'static str,
}

/// What the agent says.
#[derive(Debug, Serialize, ToSchema)]
struct AnswerMessage {
    role: &'static str,
    content: String,
}

/// What the answer took.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "fields have the names that clients know")]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Self {
        Self { prompt_tokens: tokens.input, completion_tokens: tokens.output, total_tokens: tokens.total }
    }
}

impl Completion {
    pub(super) fn whole(labels: &Labels, answer: Answer) -> Self {
        let message = AnswerMessage { role: "assistant", content: answer.text };
        Self {
            id: labels.id.clone(),
            object: "chat.completion",
            created: labels.created,
            model: labels.model.clone(),
            choices: vec![Choice { index: 0, message, finish_reason: "stop" }],
            usage: answer.tokens.into(),
        }
    }
}

/// Where a stream is.
struct Pieces {
    watch: Watch,
    labels: Labels,
    with_usage: bool,
    /// Attempt whose pieces are passed on: what was written cannot be taken back, so those of a later one are not.
    attempt: u32,
    written: String,
    waiting: std::collections::VecDeque<Event>,
    /// Ends when the caller is not let in any more.
    fallen: BoxFuture<'static, Failure>,
    over: bool,
}

/// Streams an answer: the role, the text piece by piece, the end, the tokens if they are wanted, `[DONE]`. When a second attempt
/// writes another text than the first one began, the stream ends with an error, as it does when its caller has `fallen`, which
/// is not let in any more.
pub(super) fn stream(
    watch: Watch,
    labels: Labels,
    with_usage: bool,
    fallen: BoxFuture<'static, Failure>,
) -> impl Stream<Item = Event> + Send {
    let role = event(&labels.chunk(&json!({ "role": "assistant", "content": "" }), None));
    let waiting = [role].into();
    let pieces = Pieces { watch, labels, with_usage, attempt: 0, written: String::new(), waiting, fallen, over: false };
    stream::unfold(pieces, |mut pieces| async move {
        loop {
            if let Some(event) = pieces.waiting.pop_front() {
                return Some((event, pieces));
            }
            if pieces.over {
                return None;
            }
            pieces.advance().await;
        }
    })
}

impl Pieces {
    async fn advance(&mut self) {
        let seen = tokio::select! {
            biased;
            fallen = &mut self.fallen => Err(fallen),
            seen = self.watch.next() => seen,
        };
        match seen {
            Ok(Seen::Piece { attempt, text }) => {
                if self.attempt == 0 {
                    self.attempt = attempt;
                }
                if self.attempt == attempt {
                    self.written.push_str(&text);
                    self.say(&self.labels.chunk(&json!({ "content": text }), None));
                }
            }
            Ok(Seen::Answer(answer)) => self.end(&answer),
            Err(failure) => self.fail(&shape::error(&failure)),
        }
    }

    fn end(&mut self, answer: &Answer) {
        let Some(rest) = answer.text.strip_prefix(self.written.as_str()) else {
            let text = "the answer was begun again and became another one; ask for the task";
            return self.fail(&json!({ "message": text, "type": "server_error", "param": null, "code": "RESTARTED" }));
        };
        if !rest.is_empty() {
            self.say(&self.labels.chunk(&json!({ "content": rest }), None));
        }
        self.say(&self.labels.chunk(&json!({}), Some("stop")));
        if self.with_usage {
            self.say(&self.labels.usage(answer.tokens));
        }
        self.waiting.push_back(Event::default().data("[DONE]"));
        self.over = true;
    }

    fn fail(&mut self, error: &Value) {
        self.say(&json!({ "error": error }));
        self.waiting.push_back(Event::default().data("[DONE]"));
        self.over = true;
    }

    fn say(&mut self, data: &Value) {
        self.waiting.push_back(event(data));
    }
}

fn event(data: &Value) -> Event {
    // Compact JSON has no line breaks, which is all that could be wrong with it.
    Event::default().data(data.to_string())
}
