//! Embeddings by an OpenAI-compatible API.

use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput};
use futures::future::BoxFuture;
use serde::Deserialize;

use super::http::Client;
use crate::embed::normalize;
use crate::{Embedder, EmbeddingModel, Embeddings, Endpoint, Error, tokens};

/// The most texts, and about the most tokens, of one request; providers allow at least this.
const BATCH_TEXTS: usize = 64;
const BATCH_TOKENS: usize = 50_000;

/// The longest answer that is read, in bytes: 64 vectors of 4,096 numbers and room to spare.
const LONGEST: usize = 16 << 20;

/// What is known of a model that the provider does not tell.
struct Known {
    name: &'static str,
    dimensions: usize,
    window: usize,
    relevance_threshold: f32,
}

/// Relevance differs by family: ada-002 puts almost everything above .7, its successors put what answers a question at
/// about .3 to .6 and what does not below .25.
static KNOWN: [Known; 4] = [
    Known { name: "text-embedding-3-small", dimensions: 1536, window: 8191, relevance_threshold: 0.3 },
    Known { name: "text-embedding-3-large", dimensions: 3072, window: 8191, relevance_threshold: 0.3 },
    Known { name: "text-embedding-ada-002", dimensions: 1536, window: 8191, relevance_threshold: 0.75 },
    Known { name: "all-minilm", dimensions: 384, window: 256, relevance_threshold: 0.25 },
];

/// For other models: a window that nearly all have, and a threshold that lets through too much rather than nothing.
const OTHER_WINDOW: usize = 512;
const OTHER_THRESHOLD: f32 = 0.3;

/// What an endpoint's settings alone tell about its model.
pub(crate) struct Identified<'a> {
    remote: &'a str,
    known: Option<&'static Known>,
    shortened: Option<usize>,
    pub(crate) name: String,
    pub(crate) window: usize,
}

/// Finds that out; the provider is not asked.
pub(crate) fn identify(endpoint: &Endpoint, dimensions: Option<usize>) -> Identified<'_> {
    let remote = endpoint.model.trim();
    let known = KNOWN.iter().find(|known| known.name == remote);
    let can_shorten = remote.starts_with("text-embedding-3-");
    let differs = |wanted: &usize| known.is_some_and(|known| known.dimensions != *wanted);
    let shortened = dimensions.filter(|wanted| can_shorten && differs(wanted));
    let name = shortened.map_or_else(|| remote.to_owned(), |dimensions| format!("{remote}-{dimensions}"));
    Identified { remote, known, shortened, name, window: known.map_or(OTHER_WINDOW, |known| known.window) }
}

/// An embedding model behind an OpenAI-compatible API.
#[derive(Debug)]
pub(crate) struct OpenAiEmbeddings {
    client: Client,
    /// The model's name for the provider.
    remote: String,
    /// Sent only where the model can shorten its vectors.
    shortened: Option<u32>,
    model: EmbeddingModel,
}

impl OpenAiEmbeddings {
    /// Opens a model; asks the provider for its dimensions only if they are neither given nor known.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        dimensions: Option<usize>,
        relevance_threshold: Option<f32>,
    ) -> Result<Self, Error> {
        let client = Client::new(endpoint)?;
        let Identified { remote, known, shortened, name, window } = identify(endpoint, dimensions);
        let model = EmbeddingModel {
            name,
            dimensions: dimensions.or(known.map(|known| known.dimensions)).unwrap_or(0),
            window,
            relevance_threshold: relevance_threshold
                .unwrap_or_else(|| known.map_or(OTHER_THRESHOLD, |known| known.relevance_threshold)),
        };
        let remote = remote.to_owned();
        let shortened = shortened.and_then(|dimensions| u32::try_from(dimensions).ok());
        let mut opened = Self { client, remote, shortened, model };
        if opened.model.dimensions == 0 {
            let (vectors, _) = opened.request(&["dimensions".to_owned()]).await?;
            opened.model.dimensions = vectors[0].len();
        }
        Ok(opened)
    }

    async fn run(&self, texts: &[String]) -> Result<Embeddings, Error> {
        let mut embeddings = Embeddings::default();
        for batch in batches(texts) {
            let (vectors, tokens) = self.request(batch).await?;
            embeddings.vectors.extend(vectors);
            embeddings.total_tokens += tokens;
        }
        Ok(embeddings)
    }

    async fn request(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, usize), Error> {
        // An empty text is refused by some providers; a space means as little.
        let filled = |text: &String| if text.is_empty() { " ".to_owned() } else { text.clone() };
        let request = CreateEmbeddingRequest {
            model: self.remote.clone(),
            input: EmbeddingInput::StringArray(texts.iter().map(filled).collect()),
            encoding_format: None,
            user: None,
            dimensions: self.shortened,
        };
        let body = self.client.post("embeddings", &request, None).await?.read(LONGEST).await?;
        let answer: Reply = serde_json::from_slice(&body).map_err(|_| Error::broken("the answer is not understood"))?;
        let counted = answer.usage.and_then(|usage| usage.total_tokens.or(usage.prompt_tokens));
        let tokens = counted.unwrap_or_else(|| texts.iter().map(|text| self.count_tokens(text)).sum());
        Ok((self.vectors(answer.data, texts.len())?, tokens))
    }

    /// Puts vectors into the order of their texts and checks that all are there and usable.
    fn vectors(&self, data: Vec<Vector>, count: usize) -> Result<Vec<Vec<f32>>, Error> {
        let mut vectors = vec![Vec::new(); count];
        for Vector { index, embedding } in data {
            match vectors.get_mut(index) {
                Some(place) if place.is_empty() => *place = embedding,
                _ => return Err(Error::broken("a vector belongs to no text")),
            }
        }
        let dimensions = match self.model.dimensions {
            0 => vectors.first().map_or(0, Vec::len),
            known => known,
        };
        for vector in &mut vectors {
            if vector.is_empty() || vector.len() != dimensions {
                return Err(Error::broken("a vector is missing or has not the expected dimensions"));
            }
            normalize(vector);
        }
        Ok(vectors)
    }
}

impl Embedder for OpenAiEmbeddings {
    fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    /// An estimate, a little above what the provider will count.
    fn count_tokens(&self, text: &str) -> usize {
        tokens::estimate(text)
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Embeddings, Error>> {
        Box::pin(self.run(texts))
    }
}

#[derive(Deserialize)]
struct Reply {
    data: Vec<Vector>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Vector {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: Option<usize>,
    prompt_tokens: Option<usize>,
}

/// Cuts texts into requests.
fn batches(texts: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (index, text) in texts.iter().enumerate() {
        let cost = tokens::estimate(text);
        if index > start && (index - start == BATCH_TEXTS || tokens + cost > BATCH_TOKENS) {
            batches.push(&texts[start..index]);
            (start, tokens) = (index, 0);
        }
        tokens += cost;
    }
    if start < texts.len() {
        batches.push(&texts[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::{BATCH_TEXTS, BATCH_TOKENS, batches};

    #[test]
    fn batches_keep_order_and_stay_within_what_providers_allow() {
        let short = vec!["a".to_owned(); BATCH_TEXTS + 1];
        assert_eq!(batches(&short).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [BATCH_TEXTS, 1]);
        let long = vec!["word ".repeat(BATCH_TOKENS * 2 / 3); 3];
        assert_eq!(batches(&long).len(), 3);
        assert!(batches(&[]).is_empty());
    }
}
