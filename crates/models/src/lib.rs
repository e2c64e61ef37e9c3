//! Decides how text becomes vectors and how questions become answers: two small ports, [`Embedder`] and
//! [`LanguageModel`], and the providers behind them.
//!
//! | port | provider | needs |
//! |---|---|---|
//! | [`Embedder`] | all-MiniLM-L6-v2, run here | the model's directory, see `deploy/fetch-model.sh` |
//! | | feature hashing, where no model is there; its name says so | nothing |
//! | | any OpenAI-compatible API | base URL, key, model |
//! | [`LanguageModel`] | any OpenAI-compatible API, streamed | base URL, key, model |
//! | | extractive answers, quoted from the passages | nothing |
//!
//! # What always holds
//!
//! * Vectors have unit length and [`EmbeddingModel::dimensions`] numbers, one vector per text, in the order of the texts.
//! * A text of at most [`EmbeddingModel::window`] tokens by [`Embedder::count_tokens`] is embedded whole.
//! * An answer's stream ends with exactly one [`Piece::Done`], or with one error; nothing comes after either.
//! * The deltas of an answer, put together, are the whole answer; nothing is held back to look like streaming.
//! * The extractive model says only what stands, letter by letter, in a passage that it cites, or that it found nothing.
//! * A request is repeated only while nothing of its answer has been passed on.
//! * No key is printed by `Debug` or `Display`, and no prompt, passage or answer is logged or put into an error.

mod config;
mod embed;
mod error;
mod extractive;
mod hashing;
mod language;
#[cfg(feature = "minilm")]
mod minilm;
mod openai;
mod secret;
mod tokens;
mod words;

pub use config::{Config, EmbeddingConfig, Endpoint, LlmConfig, Timeouts, open_embedder, open_language_model};
pub use embed::{Embedder, EmbeddingModel, Embeddings};
pub use error::Error;
pub use extractive::NO_MODEL;
pub use language::{
    Answer, Finish, LanguageModel, NOT_FOUND, Passage, Piece, Prompt, Reading, Role, TokenUsage, Turn, collect,
};
pub use secret::Secret;
pub use tokens::Tokens;
