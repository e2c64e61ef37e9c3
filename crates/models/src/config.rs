//! Which models to use, as plain values, and the way from them to the ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::extractive::Extractive;
use crate::hashing::Hashing;
use crate::openai::{OpenAiChat, OpenAiEmbeddings};
use crate::{Embedder, Error, LanguageModel, Secret};

/// The models of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// What answers questions.
    pub llm: LlmConfig,
    /// What turns text into vectors.
    pub embedding: EmbeddingConfig,
}

/// A language model.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LlmConfig {
    /// Quotes sentences of the passages; needs nothing.
    #[default]
    Extractive,
    /// An OpenAI-compatible chat API.
    OpenAi(Endpoint),
}

/// An embedding model.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum EmbeddingConfig {
    /// all-MiniLM-L6-v2, run in this process.
    MiniLm {
        /// The directory that holds `model.safetensors`, `tokenizer.json` and `config.json`.
        dir: PathBuf,
    },
    /// Feature hashing, for where no model is.
    #[default]
    Hashing,
    /// An OpenAI-compatible embeddings API.
    OpenAi {
        /// Where it is and which model.
        endpoint: Endpoint,
        /// How many numbers its vectors have; `None` for OpenAI's own models, or to ask the provider at start.
        dimensions: Option<usize>,
        /// The similarity from which a passage is relevant; `None` for the model's usual one.
        relevance_threshold: Option<f32>,
    },
}

impl EmbeddingConfig {
    /// Chooses the local model if its directory holds it, and hashing otherwise.
    pub fn local(dir: &Path) -> Self {
        if cfg!(feature = "minilm") && dir.join("model.safetensors").is_file() {
            return Self::MiniLm { dir: dir.to_owned() };
        }
        Self::Hashing
    }
}

/// An OpenAI-compatible API.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The URL up to and without `/chat/completions`, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; may be empty where none is needed, as with a server on one's own machine.
    pub api_key: Secret,
    /// The model used unless an agent names another.
    pub model: String,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How often a request is repeated, at most, while nothing of its answer has arrived.
    pub max_retries: u32,
}

impl Endpoint {
    /// An endpoint with the usual patience: see [`Timeouts`]; two retries.
    pub fn new(base_url: impl Into<String>, api_key: impl Into<Secret>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: api_key.into(),
            model: model.into(),
            timeouts: Timeouts::default(),
            max_retries: 2,
        }
    }
}

/// How long to wait for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection. 5 s.
    pub connect: Duration,
    /// From the request to the head of the answer. 30 s: large models think before the first token.
    pub first_byte: Duration,
    /// Between two parts of an answer. 20 s.
    pub idle: Duration,
    /// The first pause before a retry; each further one may be twice as long. 250 ms.
    pub retry_base: Duration,
    /// The longest pause before a retry; a provider that asks for more is not waited for. 10 s.
    pub retry_cap: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(20),
            retry_base: Duration::from_millis(250),
            retry_cap: Duration::from_secs(10),
        }
    }
}

/// Opens a language model. Does not connect.
///
/// # Errors
///
/// [`Error::Setup`] if the base URL cannot be one or the model's name is empty.
pub fn open_language_model(config: &LlmConfig) -> Result<Arc<dyn LanguageModel>, Error> {
    Ok(match config {
        LlmConfig::Extractive => Arc::new(Extractive),
        LlmConfig::OpenAi(endpoint) => Arc::new(OpenAiChat::new(endpoint)?),
    })
}

/// Opens an embedding model: reads and checks a local one off the asynchronous threads, asks a remote one for its
/// dimensions if they are not known.
///
/// # Errors
///
/// [`Error::Setup`] if a file is missing or is not the expected one, or the base URL cannot be one; those of the provider.
pub async fn open_embedder(config: &EmbeddingConfig) -> Result<Arc<dyn Embedder>, Error> {
    Ok(match config {
        EmbeddingConfig::Hashing => {
            tracing::warn!(
                model = "hashing-384",
                "no embedding model is there: texts are compared by their words only"
            );
            Arc::new(Hashing::new())
        }
        #[cfg(feature = "minilm")]
        EmbeddingConfig::MiniLm { dir } => Arc::new(crate::minilm::MiniLm::open(dir.clone()).await?),
        #[cfg(not(feature = "minilm"))]
        EmbeddingConfig::MiniLm { .. } => {
            return Err(without_minilm());
        }
        EmbeddingConfig::OpenAi { endpoint, dimensions, relevance_threshold } => {
            Arc::new(OpenAiEmbeddings::open(endpoint, *dimensions, *relevance_threshold).await?)
        }
    })
}

#[cfg(not(feature = "minilm"))]
pub(crate) fn without_minilm() -> Error {
    Error::Setup("this program was built without the feature `minilm`".to_owned())
}
