//! Token counts: the counter of an embedding model, and an estimate for providers whose tokenizer is not here.
//!
//! The estimate: a word of ASCII letters and digits counts one token per 4 characters begun; other letters count one token
//! per 2 characters begun, ideographs and the like one each; every punctuation mark counts one. English prose comes out 0
//! to 25 % above what OpenAI's tokenizers count, which is the safe side for limits.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "minilm")]
use crate::minilm;
use crate::{EmbeddingConfig, Error, TokenUsage, hashing, openai};

/// Counts tokens as an embedding model does, without the model: for those who cut texts and leave embedding to others.
#[derive(Clone)]
pub struct Tokens {
    model: Arc<str>,
    window: usize,
    count: Arc<dyn Fn(&str) -> usize + Send + Sync>,
}

impl Tokens {
    /// Opens the counter of a model; of a local one it reads only the tokenizer, off the asynchronous threads. A remote one
    /// is not asked anything.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] if the tokenizer's file is missing or not understood.
    #[cfg_attr(not(feature = "minilm"), expect(clippy::unused_async, reason = "awaits only where a file is read"))]
    pub async fn open(config: &EmbeddingConfig) -> Result<Self, Error> {
        Ok(match config {
            EmbeddingConfig::Hashing => Self::new(hashing::NAME, hashing::WINDOW, hashing::count_tokens),
            EmbeddingConfig::OpenAi { endpoint, dimensions, .. } => {
                let model = openai::identify(endpoint, *dimensions);
                Self::new(&model.name, model.window, estimate)
            }
            #[cfg(feature = "minilm")]
            EmbeddingConfig::MiniLm { dir } => {
                let counter = minilm::Counter::open(dir.clone()).await?;
                Self::new(minilm::NAME, minilm::WINDOW, move |text: &str| counter.count(text))
            }
            #[cfg(not(feature = "minilm"))]
            EmbeddingConfig::MiniLm { .. } => return Err(crate::config::without_minilm()),
        })
    }

    fn new(model: &str, window: usize, count: impl Fn(&str) -> usize + Send + Sync + 'static) -> Self {
        Self { model: model.into(), window, count: Arc::new(count) }
    }

    /// Returns the model's name, see [`crate::EmbeddingModel::name`].
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the most tokens of one text, see [`crate::EmbeddingModel::window`].
    pub fn window(&self) -> usize {
        self.window
    }

    /// Counts what [`crate::Embedder::count_tokens`] of the model counts.
    pub fn count(&self, text: &str) -> usize {
        (self.count)(text)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("model", &self.model).finish_non_exhaustive()
    }
}

/// Estimates the tokens of a text.
pub(crate) fn estimate(text: &str) -> usize {
    let mut tokens = 0;
    let mut quarters = 0;
    for character in text.chars() {
        let cost = match character {
            c if c.is_ascii_alphanumeric() => 1,
            c if u32::from(c) >= 0x2E80 => 4,
            c if c.is_alphanumeric() => 2,
            _ => 0,
        };
        if cost > 0 {
            quarters += cost;
            continue;
        }
        tokens += usize::div_ceil(std::mem::take(&mut quarters), 4);
        tokens += usize::from(!character.is_whitespace());
    }
    tokens + usize::div_ceil(quarters, 4)
}

/// Estimates what an exchange took.
pub(crate) fn usage<'a>(input: impl IntoIterator<Item = &'a str>, output: &str) -> TokenUsage {
    let input = input.into_iter().map(estimate).sum::<usize>();
    TokenUsage::new(saturate(input), saturate(estimate(output)))
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Tokens, estimate};
    use crate::{EmbeddingConfig, Endpoint, open_embedder};

    #[tokio::test]
    async fn a_counter_names_and_measures_as_its_model_does() {
        let of = |model: &str, dimensions| EmbeddingConfig::OpenAi {
            endpoint: Endpoint::new("http://127.0.0.1:1/v1", "", model),
            dimensions,
            relevance_threshold: None,
        };
        for config in [
            EmbeddingConfig::Hashing,
            of("text-embedding-3-small", None),
            of(" text-embedding-3-small ", Some(512)),
            of("another", Some(768)),
        ] {
            let (tokens, embedder) = (Tokens::open(&config).await, open_embedder(&config).await);
            let (tokens, embedder) = (tokens.expect("nothing is read"), embedder.expect("nothing is asked"));
            assert_eq!((tokens.model(), tokens.window()), (embedder.model().name.as_str(), embedder.model().window));
            assert_eq!(
                tokens.count("What does the free tier allow?"),
                embedder.count_tokens("What does the free tier allow?")
            );
        }
    }

    #[test]
    fn estimates_stay_near_what_tokenizers_count() {
        let table = [
            ("", 0..=0),
            ("hello", 1..=2),
            ("The quick brown fox jumps over the lazy dog.", 10..=14),
            ("¿Cuántas peticiones por minuto permite el plan gratuito?", 11..=22),
            ("日本語の文章", 6..=9),
        ];
        for (text, expected) in table {
            let count = estimate(text);
            assert!(expected.contains(&count), "{text:?} counts {count}, not {expected:?}");
        }
    }
}
