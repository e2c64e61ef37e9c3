//! The port to language models: a prompt in, a stream of pieces of the answer out.

use std::fmt;
use std::time::Instant;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::Error;

/// The whole answer when the passages do not contain one.
pub const NOT_FOUND: &str = "This was not found in the documents.";

/// What is asked of a language model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The agent's instructions; may be empty.
    pub system: String,
    /// Earlier turns of the conversation, oldest first.
    pub history: Vec<Turn>,
    /// What the user says now.
    pub question: String,
    /// The passages to answer from, best first; `None` for free conversation. `Some` of nothing means that the
    /// documents hold nothing relevant: the answer is [`NOT_FOUND`].
    pub passages: Option<Vec<Passage>>,
    /// The most tokens of the answer; 0 leaves it to the provider.
    pub max_tokens: u32,
    /// How freely to choose words, from 0 (not at all) to 2; providers without such a choice ignore it.
    pub temperature: f32,
    /// The model that the agent wants, if not the provider's default; providers with one model ignore it.
    pub model: Option<String>,
    /// When the answer is of no use any more.
    pub deadline: Option<Instant>,
}

/// One earlier turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// What was said.
    pub text: String,
}

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user.
    User,
    /// The agent.
    Assistant,
}

/// A piece of a document, as retrieved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passage {
    /// The title of its document.
    pub title: String,
    /// The text itself, unchanged.
    pub text: String,
    /// How similar it is to the question, as a cosine.
    pub similarity: f32,
}

/// Which of the passages that were found a model wants to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// How many at least, if there are as many.
    pub at_least: u32,
    /// Down to which share of the embedding model's relevance threshold, from 0 to 1.
    pub floor: f64,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next words of the answer; never empty.
    Delta(String),
    /// The end of the answer.
    Done(Finish),
}

/// What is known of an answer once it is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finish {
    /// What it cost.
    pub usage: TokenUsage,
    /// Which passages it rests on, as ascending indices into [`Prompt::passages`]. Empty if nothing was found; all of
    /// them if the model did not say which.
    pub cited: Vec<usize>,
    /// False if the model says that it could not answer from what it was given.
    pub found: bool,
    /// True if the answer stopped because it reached [`Prompt::max_tokens`].
    pub truncated: bool,
    /// The model that answered, as the provider calls it.
    pub model: String,
}

/// How many tokens a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens read.
    pub input: u32,
    /// Tokens written.
    pub output: u32,
    /// Both.
    pub total: u32,
}

impl TokenUsage {
    /// Adds up tokens read and written.
    pub fn new(input: u32, output: u32) -> Self {
        Self { input, output, total: input.saturating_add(output) }
    }
}

/// The stream of an answer: deltas, then one [`Piece::Done`]; or an error, which ends it.
pub type Answer = BoxStream<'static, Result<Piece, Error>>;

/// A language model. Used as `Arc<dyn LanguageModel>`.
pub trait LanguageModel: Send + Sync + fmt::Debug {
    /// The name of the provider's default model.
    fn name(&self) -> &str;

    /// Says which of the passages that were found it wants to read; those that are relevant, unless it knows better.
    fn reads(&self) -> Reading {
        Reading { at_least: 0, floor: 1.0 }
    }

    /// Begins to answer; ready as soon as the provider has accepted the prompt.
    ///
    /// # Errors
    ///
    /// Those of the provider. Failures that pass by have been retried already within the deadline; once the stream is
    /// there, nothing is retried. Dropping the stream gives the request up.
    fn answer(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, Error>>;
}

/// Reads an answer to its end and returns the whole text.
///
/// # Errors
///
/// The one that the stream ends with.
pub async fn collect(mut answer: Answer) -> Result<(String, Finish), Error> {
    let mut text = String::new();
    while let Some(piece) = answer.next().await {
        match piece? {
            Piece::Delta(delta) => text.push_str(&delta),
            Piece::Done(finish) => return Ok((text, finish)),
        }
    }
    Err(Error::Internal("an answer ended without its last piece".to_owned()))
}

/// The answer that says that nothing was found.
pub(crate) fn not_found(model: String, usage: TokenUsage) -> Answer {
    let done = Finish { usage, model, ..Finish::default() };
    futures::stream::iter([Ok(Piece::Delta(NOT_FOUND.to_owned())), Ok(Piece::Done(done))]).boxed()
}
