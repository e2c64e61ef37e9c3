//! all-MiniLM-L6-v2, run in this process by candle.
//!
//! Reading and running the model is work for the processor: it is done in tokio's blocking pool, in pieces of at most
//! [`PIECE_TOKENS`], and no more pieces at once than there are processors. Permits are handed out in order of arrival and
//! a call holds one only for a piece, so a question waits for the pieces before it and not for a whole document.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokenizers::{Tokenizer, TruncationParams};
use tokio::sync::Semaphore;

use crate::embed::normalize;
use crate::{Embedder, EmbeddingModel, Embeddings, Error};

pub(crate) const NAME: &str = "all-MiniLM-L6-v2";
const WEIGHTS: &str = "model.safetensors";
const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const WEIGHTS_SHA256: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

/// The model was trained on texts of up to 256 tokens.
pub(crate) const WINDOW: usize = 256;

/// Measured over passages from one sentence to a whole window: what answers a question .27 to .68, a vague question about
/// one sentence of a long passage .19 to .22, and what is unrelated up to .18. What is let through in vain costs less than
/// what is missed, so it stands near the lower end. Recorded by the test `the_threshold_parts_relevant_from_unrelated`.
const RELEVANCE_THRESHOLD: f32 = 0.2;

/// The most tokens of one piece, padding included: about 0.15 s on one processor when optimised.
const PIECE_TOKENS: usize = 384;

/// How many texts are split into tokens at once.
const TOKENIZED_TEXTS: usize = 64;

/// The local model; clones share its weights.
pub(crate) struct MiniLm {
    model: EmbeddingModel,
    engine: Arc<Engine>,
    processors: Arc<Semaphore>,
}

impl fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniLm").field("model", &self.model).finish_non_exhaustive()
    }
}

impl MiniLm {
    /// Reads the model from a directory and checks that its weights are the expected ones.
    pub(crate) async fn open(dir: PathBuf) -> Result<Self, Error> {
        let engine = blocking(move || Engine::load(&dir)).await?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let model = EmbeddingModel {
            name: NAME.to_owned(),
            dimensions: engine.dimensions,
            window: WINDOW,
            relevance_threshold: RELEVANCE_THRESHOLD,
        };
        Ok(Self { model, engine: Arc::new(engine), processors: Arc::new(Semaphore::new(processors)) })
    }

    async fn run(&self, texts: &[String]) -> Result<Embeddings, Error> {
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut total_tokens = 0;
        for (group, some) in texts.chunks(TOKENIZED_TEXTS).enumerate() {
            let first = group * TOKENIZED_TEXTS;
            let some = some.to_vec();
            let mut inputs = self.piece(move |engine| engine.tokenize(&some, first)).await?;
            total_tokens += inputs.iter().map(|input| input.ids.len()).sum::<usize>();
            // Texts of like length share a piece, so that little of it is padding.
            inputs.sort_by_key(|input| input.ids.len());
            for piece in pieces(inputs) {
                for (place, vector) in self.piece(move |engine| engine.embed(&piece)).await? {
                    vectors[place] = vector;
                }
            }
        }
        Ok(Embeddings { vectors, total_tokens })
    }

    /// Runs one piece of work when a processor is free for it.
    async fn piece<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.processors).acquire_owned().await;
        let permit = permit.map_err(|_| Error::Internal("the model's semaphore was closed".to_owned()))?;
        let engine = Arc::clone(&self.engine);
        blocking(move || {
            // Held to the end of the work, not of the wait for it: a caller that gives up frees no processor.
            let _permit = permit;
            work(&engine)
        })
        .await
    }
}

impl Embedder for MiniLm {
    fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.engine.counter.count(text)
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Embeddings, Error>> {
        Box::pin(self.run(texts))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Err(Error::unavailable("the process is shutting down")),
        Err(_) => Err(Error::Internal("the embedding model panicked".to_owned())),
    }
}

/// The tokens of a text, and the place of its vector.
struct Input {
    place: usize,
    ids: Vec<u32>,
}

/// Cuts texts, sorted by length, into pieces of at most [`PIECE_TOKENS`] tokens each, padding included.
fn pieces(inputs: Vec<Input>) -> Vec<Vec<Input>> {
    let mut pieces: Vec<Vec<Input>> = Vec::new();
    for input in inputs {
        match pieces.last_mut() {
            Some(piece) if (piece.len() + 1) * input.ids.len() <= PIECE_TOKENS => piece.push(input),
            _ => pieces.push(vec![input]),
        }
    }
    pieces
}

/// The model's tokenizer, not cutting at its window.
pub(crate) struct Counter(Tokenizer);

impl Counter {
    /// Reads the tokenizer from the model's directory.
    pub(crate) async fn open(dir: PathBuf) -> Result<Self, Error> {
        blocking(move || Self::load(&dir)).await
    }

    fn load(dir: &Path) -> Result<Self, Error> {
        let mut tokenizer = Tokenizer::from_bytes(read(dir, TOKENIZER)?).map_err(|_| unreadable(TOKENIZER))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|_| unreadable(TOKENIZER))?;
        Ok(Self(tokenizer))
    }

    /// Counts the tokens of a text.
    pub(crate) fn count(&self, text: &str) -> usize {
        // Only a defect of the tokenizer can fail; then the count is an estimate.
        self.0.encode_fast(text, true).map_or_else(|_| crate::tokens::estimate(text), |tokens| tokens.len())
    }
}

/// Weights and tokenizers.
struct Engine {
    bert: BertModel,
    dimensions: usize,
    padding: u32,
    /// Cuts at the window.
    tokenizer: Tokenizer,
    counter: Counter,
}

impl Engine {
    fn load(dir: &Path) -> Result<Self, Error> {
        let config: Config = serde_json::from_slice(&read(dir, CONFIG)?).map_err(|_| unreadable(CONFIG))?;
        let counter = Counter::load(dir)?;
        let mut tokenizer = counter.0.clone();
        let window = TruncationParams { max_length: WINDOW, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(window)).map_err(|_| unreadable(TOKENIZER))?;
        let weights = read(dir, WEIGHTS)?;
        if hex(&Sha256::digest(&weights)) != WEIGHTS_SHA256 {
            return Err(Error::Setup(format!("{WEIGHTS} is not the expected one: its SHA-256 differs")));
        }
        let weights = VarBuilder::from_slice_safetensors(&weights, DType::F32, &Device::Cpu);
        let bert = weights.and_then(|weights| BertModel::load(weights, &config));
        let bert = bert.map_err(|_| unreadable(WEIGHTS))?;
        let padding = u32::try_from(config.pad_token_id).map_err(|_| unreadable(CONFIG))?;
        Ok(Self { bert, dimensions: config.hidden_size, padding, tokenizer, counter })
    }

    fn tokenize(&self, texts: &[String], first: usize) -> Result<Vec<Input>, Error> {
        let encode = |(index, text): (usize, &String)| {
            let encoding = self.tokenizer.encode_fast(text.as_str(), true);
            let encoding = encoding.map_err(|error| Error::Internal(format!("the tokenizer failed: {error}")))?;
            Ok(Input { place: first + index, ids: encoding.get_ids().to_vec() })
        };
        texts.iter().enumerate().map(encode).collect()
    }

    fn embed(&self, piece: &[Input]) -> Result<Vec<(usize, Vec<f32>)>, Error> {
        let vectors = self.forward(piece).map_err(|error| Error::Internal(format!("the model failed: {error}")))?;
        let placed = piece.iter().zip(vectors).map(|(input, mut vector)| {
            normalize(&mut vector);
            (input.place, vector)
        });
        Ok(placed.collect())
    }

    /// Runs the model and takes the mean over each text's own tokens.
    fn forward(&self, piece: &[Input]) -> candle_core::Result<Vec<Vec<f32>>> {
        let length = piece.iter().map(|input| input.ids.len()).max().unwrap_or(0);
        let shape = (piece.len(), length);
        let padded = |input: &Input| {
            let padding = std::iter::repeat_n(self.padding, length - input.ids.len());
            input.ids.iter().copied().chain(padding).collect::<Vec<_>>()
        };
        let mask =
            piece.iter().flat_map(|input| (0..length).map(|at| if at < input.ids.len() { 1.0_f32 } else { 0.0 }));
        let ids = Tensor::from_vec(piece.iter().flat_map(padded).collect::<Vec<u32>>(), shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask.collect::<Vec<f32>>(), shape, &Device::Cpu)?;
        let hidden = self.bert.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let weights = mask.unsqueeze(2)?;
        let sum = hidden.broadcast_mul(&weights)?.sum(1)?;
        sum.broadcast_div(&weights.sum(1)?)?.to_vec2()
    }
}

fn read(dir: &Path, file: &str) -> Result<Vec<u8>, Error> {
    let path = dir.join(file);
    std::fs::read(&path).map_err(|error| {
        let path = path.display();
        Error::Setup(format!("{path} cannot be read ({error}); deploy/fetch-model.sh fetches the model"))
    })
}

fn unreadable(file: &str) -> Error {
    Error::Setup(format!("{file} of the embedding model is not understood"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
