//! The domain: the same checks serve the façade and the queue's actions.

use std::sync::Arc;

use action::Tier;
use models::{Embedder, EmbeddingModel};
use proto::action::v1::TokenUsage;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult, Vector};
use queue::{Completed, MAX_PAYLOAD, Work};
use quota::Tiers;

use crate::Error;

/// Turns texts into vectors. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Embedding {
    model: Arc<dyn Embedder>,
    tiers: Arc<Tiers>,
}

impl Embedding {
    /// Puts the service together.
    pub fn new(model: Arc<dyn Embedder>, tiers: Arc<Tiers>) -> Self {
        Self { model, tiers }
    }

    /// Returns the model in use.
    pub fn model(&self) -> &EmbeddingModel {
        self.model.model()
    }

    /// Checks a request against the bounds of a tier.
    ///
    /// # Errors
    ///
    /// [`Error::Field`], naming the field.
    pub fn check(&self, tier: Tier, request: &GenerateEmbeddings) -> Result<(), Error> {
        let model = self.model();
        if !request.model.is_empty() && request.model != model.name {
            return Err(field("model", format!("must be empty or `{}`", model.name)));
        }
        let limits = self.tiers.of(tier);
        let most = (limits.embed_texts as usize).min(fitting(model.dimensions));
        if request.texts.is_empty() || request.texts.len() > most {
            return Err(field("texts", format!("must hold 1 to {most} texts")));
        }
        for (number, text) in request.texts.iter().enumerate() {
            if text.trim().is_empty() {
                return Err(field(format!("texts[{number}]"), "must not be empty"));
            }
            if text.chars().count() > limits.embed_chars as usize {
                let text = format!("must have at most {} characters", limits.embed_chars);
                return Err(field(format!("texts[{number}]"), text));
            }
        }
        Ok(())
    }

    /// Handles `embedding.generate`.
    ///
    /// # Errors
    ///
    /// Those of the request and of the model.
    pub async fn generate(
        &self,
        work: Work,
        request: GenerateEmbeddings,
    ) -> Result<Completed<GenerateEmbeddingsResult>, Error> {
        self.check(work.action().tier, &request)?;
        let embeddings = self.model.embed(&request.texts).await?;
        let (texts, vectors) = (request.texts.len(), embeddings.vectors.len());
        if texts != vectors {
            return Err(Error::Mismatch { texts, vectors });
        }
        let input = u64::try_from(embeddings.total_tokens).unwrap_or(u64::MAX);
        let tokens_used = TokenUsage { input, output: 0, total: input };
        let model = self.model();
        let reply = GenerateEmbeddingsResult {
            embeddings: embeddings.vectors.into_iter().map(|values| Vector { values }).collect(),
            model: model.name.clone(),
            dimensions: u32::try_from(model.dimensions).unwrap_or(u32::MAX),
            tokens_used: Some(tokens_used),
            relevance_threshold: threshold(model),
        };
        Ok(Completed { reply, tokens_used })
    }
}

/// Returns the model's threshold with the digits that it was written with: the nearest double of 0.27 is 0.27.
pub(crate) fn threshold(model: &EmbeddingModel) -> f64 {
    model.relevance_threshold.to_string().parse().unwrap_or_else(|_| f64::from(model.relevance_threshold))
}

/// Returns how many vectors a reply has room for: it travels through the queue as a whole.
fn fitting(dimensions: usize) -> usize {
    const ROOM: usize = MAX_PAYLOAD - 8 * 1024;
    (ROOM / (dimensions * size_of::<f32>() + 16)).max(1)
}

fn field(name: impl Into<String>, text: impl Into<String>) -> Error {
    Error::Field { field: name.into(), text: text.into() }
}
