//! `query.generate`: an answer from documents.

use std::time::Instant;

use futures::StreamExt as _;
use models::{Finish, Passage, Piece, Prompt, Role, Turn};
use proto::action::v1::{Source, TokenUsage};
use proto::query::v1::{GenerateAnswer, GenerateAnswerResult};
use queue::{Completed, Work};
use session::{Deltas, Log};

use crate::index::Hit;
use crate::query::source;
use crate::{Error, Query};

impl Query {
    /// Handles `query.generate`: embeds the question once, finds passages, and lets the model answer from them; without
    /// passages the answer is that nothing was found. With `stream` the pieces go to the session's log as they come.
    ///
    /// # Errors
    ///
    /// Those of the request, of embedding it, of the index and of the model.
    pub async fn generate(
        &self,
        work: Work,
        request: GenerateAnswer,
    ) -> Result<Completed<GenerateAnswerResult>, Error> {
        let tier = work.action().tier;
        let collections = self.check_question(tier, &request)?;
        let top_k = if request.top_k == 0 { self.default_limit(tier) } else { request.top_k };
        let mut stream = self.stream(&work, request.stream).await?;
        let reading = self.model.reads();
        let (most, threshold) = (top_k.max(reading.at_least), request.relevance_threshold);
        let found = self.find(&work, &request.query, &collections, most, threshold, reading.floor).await?;
        let max_sources = if request.max_sources == 0 { self.config.max_sources } else { request.max_sources };
        let prompt = self.prompt(&work, request, &found.hits)?;
        let (response, finish) = self.answer(prompt, stream.as_mut()).await?;
        work.event("answered");
        let own = usage(&finish);
        let reply = GenerateAnswerResult {
            response,
            sources: cited(found.hits, &finish, max_sources),
            found: finish.found,
            model_used: finish.model,
            tokens_used: Some(sum(&found.tokens, &own)),
        };
        Ok(Completed { reply, tokens_used: own })
    }

    /// Prepares the log, when pieces of the answer are to be shown.
    ///
    /// A new attempt of a task voids what earlier ones wrote. A child that is delivered again within the same attempt has
    /// nothing to void it with, so it stays silent rather than showing anything twice; the final frame has the whole text.
    async fn stream(&self, work: &Work, wanted: bool) -> Result<Option<Deltas>, Error> {
        let action = work.action();
        let delivered = action.delivery.as_ref().map_or(1, |delivery| delivery.attempt);
        if !wanted || (!action.is_root() && delivered > 1) {
            return Ok(None);
        }
        let log = Log::of(action);
        if action.is_root() {
            self.sessions.restart(&log, action).await?;
        }
        Ok(Some(Deltas::new(self.sessions.clone(), log, action)))
    }

    fn prompt(&self, work: &Work, request: GenerateAnswer, hits: &[Hit]) -> Result<Prompt, Error> {
        #[expect(clippy::cast_possible_truncation, reason = "a share of 0 to 1")]
        let temperature = request.temperature.map_or(self.config.temperature, |value| value as f32);
        Ok(Prompt {
            system: request.system_prompt,
            history: request.history.into_iter().map(turn).collect::<Result<_, _>>()?,
            question: request.query,
            passages: Some(hits.iter().map(passage).collect()),
            max_tokens: if request.max_tokens == 0 { self.config.max_tokens } else { request.max_tokens },
            temperature,
            model: Some(request.model).filter(|model| !model.is_empty()),
            deadline: Some(Instant::now() + work.remaining()),
        })
    }

    /// Lets the model answer; returns the whole text.
    async fn answer(&self, prompt: Prompt, mut stream: Option<&mut Deltas>) -> Result<(String, Finish), Error> {
        let mut pieces = self.model.answer(prompt).await?;
        let mut text = String::new();
        while let Some(piece) = pieces.next().await {
            match piece? {
                Piece::Delta(delta) => {
                    text.push_str(&delta);
                    if let Some(stream) = stream.as_deref_mut() {
                        stream.push(&delta).await?;
                    }
                }
                Piece::Done(finish) => {
                    if let Some(stream) = stream.as_deref_mut() {
                        stream.flush().await?;
                    }
                    return Ok((text, finish));
                }
            }
        }
        Err(models::Error::Broken { what: "the answer ended without its end".to_owned() }.into())
    }
}

/// The passages that the answer cites, the most similar first, under the numbers that it cites them by.
fn cited(hits: Vec<Hit>, finish: &Finish, most: u32) -> Vec<Source> {
    if !finish.found {
        return Vec::new();
    }
    let cited = (0..).zip(hits).filter(|(at, _)| finish.cited.contains(at));
    cited.map(|(at, hit)| source(hit, at + 1)).take(most as usize).collect()
}

fn passage(hit: &Hit) -> Passage {
    Passage { title: hit.title.clone(), text: hit.text.clone(), similarity: hit.similarity }
}

fn turn(turn: proto::query::v1::Turn) -> Result<Turn, Error> {
    let role = match turn.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(Error::field("history", "has a role other than user and assistant")),
    };
    Ok(Turn { role, text: turn.content })
}

fn usage(finish: &Finish) -> TokenUsage {
    let models::TokenUsage { input, output, total } = finish.usage;
    TokenUsage { input: input.into(), output: output.into(), total: total.into() }
}

fn sum(one: &TokenUsage, other: &TokenUsage) -> TokenUsage {
    TokenUsage { input: one.input + other.input, output: one.output + other.output, total: one.total + other.total }
}
