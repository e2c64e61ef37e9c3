//! Chat completions, streamed.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use async_openai::types::chat::{ChatCompletionStreamOptions, CreateChatCompletionRequest};
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use serde::Deserialize;

use super::http::{Body, Client};
use super::{prompt, sse};
use crate::language::not_found;
use crate::{Answer, Endpoint, Error, Finish, LanguageModel, Passage, Piece, Prompt, TokenUsage, tokens};

/// The longest answer that is read, in bytes; no model writes more.
const LONGEST: usize = 4 << 20;

/// A chat model behind an OpenAI-compatible API.
#[derive(Debug)]
pub(crate) struct OpenAiChat {
    client: Client,
    model: String,
    /// Models that refused a temperature, as reasoning models do.
    without_temperature: Mutex<HashSet<String>>,
}

impl OpenAiChat {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let model = endpoint.model.trim().to_owned();
        Ok(Self { client: Client::new(endpoint)?, model, without_temperature: Mutex::default() })
    }

    async fn begin(&self, prompt: Prompt) -> Result<Answer, Error> {
        let model = prompt.model.clone().filter(|model| !model.trim().is_empty()).unwrap_or_else(|| self.model.clone());
        if prompt.passages.as_ref().is_some_and(Vec::is_empty) {
            // What it would say is certain, and asking costs.
            return Ok(not_found(model, TokenUsage::default()));
        }
        let body = self.send(self.request(&prompt, model.clone()), &prompt).await?;
        let reading = Reading {
            body,
            parser: sse::Parser::default(),
            events: VecDeque::new(),
            text: String::new(),
            finish_reason: None,
            usage: None,
            model,
            prompt,
        };
        Ok(reading.stream())
    }

    /// Sends a request; without a temperature if the model turns out not to take one.
    async fn send(&self, mut request: CreateChatCompletionRequest, prompt: &Prompt) -> Result<Body, Error> {
        if self.refusing().contains(&request.model) {
            request.temperature = None;
        }
        match self.client.post("chat/completions", &request, prompt.deadline).await {
            Err(Error::Rejected { what }) if request.temperature.is_some() && what.contains("unsupported_") => {
                request.temperature = None;
                let body = self.client.post("chat/completions", &request, prompt.deadline).await?;
                self.refusing().insert(request.model);
                Ok(body)
            }
            outcome => outcome,
        }
    }

    fn refusing(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.without_temperature.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(deprecated, reason = "`max_tokens` is what every compatible server but OpenAI's newest models knows")]
    fn request(&self, prompt: &Prompt, model: String) -> CreateChatCompletionRequest {
        let mark = format!("{:016x}", rand::random::<u64>());
        let max_tokens = (prompt.max_tokens > 0).then_some(prompt.max_tokens);
        let (max_tokens, max_completion_tokens) =
            if self.client.is_openai() { (None, max_tokens) } else { (max_tokens, None) };
        CreateChatCompletionRequest {
            messages: prompt::messages(prompt, &mark),
            model,
            max_tokens,
            max_completion_tokens,
            temperature: Some(prompt.temperature),
            stream: Some(true),
            stream_options: Some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None }),
            ..CreateChatCompletionRequest::default()
        }
    }
}

impl LanguageModel for OpenAiChat {
    fn name(&self) -> &str {
        &self.model
    }

    fn answer(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(self.begin(prompt))
    }
}

/// A part of the stream. Only what is needed is read, and leniently: compatible servers leave fields out and invent
/// values for others.
#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
}

/// An answer being read.
struct Reading {
    body: Body,
    parser: sse::Parser,
    events: VecDeque<Vec<u8>>,
    text: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model: String,
    prompt: Prompt,
}

impl Reading {
    fn stream(self) -> Answer {
        let steps = stream::unfold(Some(self), |state| async move {
            let mut reading = state?;
            match reading.next().await {
                Ok(Some(delta)) => Some((Ok(Piece::Delta(delta)), Some(reading))),
                Ok(None) => Some((reading.finish().map(Piece::Done), None)),
                Err(error) => Some((Err(error), None)),
            }
        });
        steps.boxed()
    }

    /// Returns the next words, or `None` when the answer is complete.
    async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if event.trim_ascii() == b"[DONE]" {
                    return Ok(None);
                }
                if let Some(delta) = self.take(&event)? {
                    return Ok(Some(delta));
                }
            }
            match self.body.next().await {
                Ok(Some(bytes)) => {
                    let events = self.parser.push(&bytes);
                    self.events.extend(events.map_err(|_| Error::broken("an event is too long"))?);
                }
                // After the reason to finish only the token counts are missing, and those can be estimated.
                Ok(None) | Err(_) if self.finish_reason.is_some() => return Ok(None),
                Ok(None) => return Err(Error::broken("the stream ended before the answer")),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, event: &[u8]) -> Result<Option<String>, Error> {
        let chunk: Chunk = serde_json::from_slice(event).map_err(|_| Error::broken("an event is not understood"))?;
        if chunk.error.is_some_and(|error| !error.is_null()) {
            return Err(Error::broken("the provider reported an error within the stream"));
        }
        self.usage = chunk.usage.or(self.usage);
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(None) };
        self.finish_reason = choice.finish_reason.or_else(|| self.finish_reason.take());
        let words = choice.delta.and_then(|delta| delta.content.or(delta.refusal)).filter(|words| !words.is_empty());
        if let Some(words) = &words {
            self.text.push_str(words);
        }
        if self.text.len() > LONGEST {
            return Err(Error::broken("the answer is too long"));
        }
        Ok(words)
    }

    fn finish(self) -> Result<Finish, Error> {
        let reason = self.finish_reason.as_deref();
        if self.text.trim().is_empty() {
            return Err(match reason {
                Some("content_filter") => Error::rejected("content_filter"),
                Some("length") => Error::rejected("the tokens allowed were used up before the first word"),
                _ => Error::broken("the answer is empty"),
            });
        }
        let passages = self.prompt.passages.as_deref();
        let found = passages.is_none() || !prompt::says_not_found(&self.text);
        let usage =
            self.usage.map_or_else(|| self.estimate(), |it| TokenUsage::new(it.prompt_tokens, it.completion_tokens));
        let cited = if found { cited(&self.text, passages.unwrap_or_default()) } else { Vec::new() };
        Ok(Finish { usage, cited, found, truncated: reason == Some("length"), model: self.model })
    }

    fn estimate(&self) -> TokenUsage {
        let prompt = &self.prompt;
        let passages = prompt.passages.iter().flatten().map(|passage| passage.text.as_str());
        let history = prompt.history.iter().map(|turn| turn.text.as_str());
        let input = [prompt.system.as_str(), prompt.question.as_str()].into_iter().chain(history).chain(passages);
        tokens::usage(input, &self.text)
    }
}

/// The passages that the answer names; if it names none, all that the model had before it.
fn cited(text: &str, passages: &[Passage]) -> Vec<usize> {
    let named = prompt::cited(text, passages.len());
    if named.is_empty() { (0..passages.len()).collect() } else { named }
}
