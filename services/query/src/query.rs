//! The domain: the same methods serve the façade's checks and the queue's actions.

use std::sync::Arc;

use action::{Action, CollectionId, Tier};
use models::LanguageModel;
use proto::action::v1::{Source, TokenUsage};
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult};
use proto::query::v1::{GenerateAnswer, SearchPassages, Turn};
use queue::{Answer, Work};
use quota::{TierLimits, Tiers};
use session::Sessions;

use crate::index::{Hit, Index};
use crate::rank::Question;
use crate::{Config, Error};

/// Longest question, in characters, whatever the tier: a chat message.
const QUESTION_CHARS: usize = 4_000;
/// Longest answer, in tokens.
const ANSWER_TOKENS: u32 = 8_192;
/// Longest name of a model, and longest instructions, in characters.
const MODEL_CHARS: usize = 100;
const PROMPT_CHARS: usize = 16_000;
/// Most turns of what was said before, whatever the tier.
const HISTORY_TURNS: usize = 100;
/// Most collections of one request.
const COLLECTIONS: usize = 50;

/// Finds passages and answers from them. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) index: Index,
    pub(crate) model: Arc<dyn LanguageModel>,
    pub(crate) sessions: Sessions,
    pub(crate) config: Arc<Config>,
    tiers: Arc<Tiers>,
}

/// What is near a text.
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    pub(crate) tokens: TokenUsage,
}

impl Query {
    /// Puts the service together.
    pub fn new(
        config: Config,
        index: Index,
        model: Arc<dyn LanguageModel>,
        sessions: Sessions,
        tiers: Arc<Tiers>,
    ) -> Self {
        Self { index, model, sessions, config: Arc::new(config), tiers }
    }

    /// Checks a search against the bounds of a tier, and returns the collections.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] and [`Error::Action`], naming the field.
    pub fn check_search(&self, tier: Tier, request: &SearchPassages) -> Result<Vec<CollectionId>, Error> {
        let limits = self.limits(tier);
        check_text(&request.query, limits.query_chars as usize)?;
        check_bound("limit", request.limit, limits.search_results)?;
        check_share("similarity_threshold", request.similarity_threshold, -1.0)?;
        collections(&request.collection_ids)
    }

    /// Checks a question against the bounds of a tier, and returns the collections.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] and [`Error::Action`], naming the field.
    pub fn check_question(&self, tier: Tier, request: &GenerateAnswer) -> Result<Vec<CollectionId>, Error> {
        let results = self.limits(tier).search_results;
        check_text(&request.query, QUESTION_CHARS)?;
        check_bound("top_k", request.top_k, results)?;
        check_bound("max_sources", request.max_sources, results)?;
        check_bound("max_tokens", request.max_tokens, ANSWER_TOKENS)?;
        check_length("model", &request.model, MODEL_CHARS)?;
        check_length("system_prompt", &request.system_prompt, PROMPT_CHARS)?;
        check_turns(&request.history, HISTORY_TURNS)?;
        check_share("relevance_threshold", request.relevance_threshold, -1.0)?;
        check_share("temperature", request.temperature, 0.0)?;
        if !request.agent_id.is_empty() {
            request.agent_id.parse::<action::AgentId>()?;
        }
        collections(&request.collection_ids)
    }

    /// Checks the history of a question that comes from outside, which is bounded as that of an agent is. The mesh sends what
    /// it has bounded itself.
    pub(crate) fn check_history(&self, tier: Tier, request: &GenerateAnswer) -> Result<(), Error> {
        check_turns(&request.history, self.limits(tier).history_messages as usize)
    }

    pub(crate) fn limits(&self, tier: Tier) -> &TierLimits {
        self.tiers.of(tier)
    }

    /// Finds what is near a text: one call for its vector, then the index. Without a threshold it is the embedding model's
    /// own, times `floor`.
    pub(crate) async fn find(
        &self,
        work: &Work,
        text: &str,
        collections: &[CollectionId],
        limit: u32,
        threshold: Option<f64>,
        floor: f64,
    ) -> Result<Found, Error> {
        let action = work.action();
        let answer = embed(work, self.question(action, text)).await?;
        work.event("embedded");
        let tokens = answer.tokens_used;
        let mut reply = answer.reply;
        let least = threshold.unwrap_or(reply.relevance_threshold * floor);
        let vector = reply.embeddings.pop().ok_or(Error::NoVector)?.values;
        let question = Arc::new(Question::new(vector, reply.model).ok_or(Error::NoVector)?);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "similarities are computed with this precision")]
        let hits = self.index.search(&action.tenant, collections, question, limit, least as f32).await?;
        work.event("retrieved");
        Ok(Found { hits, tokens })
    }

    /// The start of a question that is longer than a text may be to be embedded: models read no more of it anyway.
    fn question(&self, action: &Action, text: &str) -> String {
        text.chars().take(self.limits(action.tier).embed_chars as usize).collect()
    }
}

async fn embed(work: &Work, text: String) -> Result<Answer<GenerateEmbeddingsResult>, Error> {
    let request = GenerateEmbeddings { texts: vec![text], model: String::new() };
    let context = work.action().context.clone();
    work.call(context, &request).await.map_err(|error| Error::Failed(fault::Fault::failure(&error)))
}

/// Writes what was found as it is returned; `number` is what an answer cites it by.
pub(crate) fn source(hit: Hit, number: usize) -> Source {
    Source {
        document_id: hit.document,
        title: hit.title,
        collection_id: hit.collection,
        passage: hit.text,
        start: hit.start,
        end: hit.end,
        similarity: f64::from(hit.similarity),
        index: u32::try_from(number).unwrap_or(u32::MAX),
    }
}

fn check_text(text: &str, most: usize) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::field("query", "must not be empty"));
    }
    check_length("query", text, most)
}

fn check_length(field: &'static str, text: &str, most: usize) -> Result<(), Error> {
    if text.chars().count() > most {
        return Err(Error::field(field, format!("must have at most {most} characters")));
    }
    Ok(())
}

fn check_turns(history: &[Turn], most: usize) -> Result<(), Error> {
    if history.len() > most {
        return Err(Error::field("history", format!("must have at most {most} turns")));
    }
    Ok(())
}

fn check_bound(field: &'static str, value: u32, most: u32) -> Result<(), Error> {
    if value > most { Err(Error::field(field, format!("must be at most {most}"))) } else { Ok(()) }
}

fn check_share(field: &'static str, value: Option<f64>, least: f64) -> Result<(), Error> {
    match value {
        Some(value) if !(least..=1.0).contains(&value) => {
            Err(Error::field(field, format!("must be a number between {least} and 1")))
        }
        _ => Ok(()),
    }
}

fn collections(ids: &[String]) -> Result<Vec<CollectionId>, Error> {
    if ids.is_empty() || ids.len() > COLLECTIONS {
        return Err(Error::field("collection_ids", format!("must name 1 to {COLLECTIONS} collections")));
    }
    Ok(ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?)
}
