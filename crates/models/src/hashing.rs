//! An embedder without a model: words, pairs of words and parts of words, hashed into a fixed number of features.
//!
//! It knows no meaning: texts are near when they share words. It is there so that a machine without the model's file
//! still retrieves something, and its name says what it is.

use futures::future::BoxFuture;

use crate::embed::normalize;
use crate::{Embedder, EmbeddingModel, Embeddings, Error, words};

pub(crate) const NAME: &str = "hashing-384";
const DIMENSIONS: usize = 384;
pub(crate) const WINDOW: usize = 512;

/// Between questions and passages that share no subject, chance collisions stay below .12; a question and a passage that
/// answers it share from .15 upwards. The test `the_threshold_parts_relevant_from_unrelated` measures it.
const RELEVANCE_THRESHOLD: f32 = 0.14;

const WORD: f32 = 1.0;
const PAIR: f32 = 0.5;
const PART: f32 = 0.25;
const PART_LENGTH: usize = 4;

/// The hashing embedder; deterministic on every machine.
#[derive(Debug)]
pub(crate) struct Hashing {
    model: EmbeddingModel,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let name = NAME.to_owned();
        Self {
            model: EmbeddingModel {
                name,
                dimensions: DIMENSIONS,
                window: WINDOW,
                relevance_threshold: RELEVANCE_THRESHOLD,
            },
        }
    }
}

impl Embedder for Hashing {
    fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    fn count_tokens(&self, text: &str) -> usize {
        count_tokens(text)
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Embeddings, Error>> {
        Box::pin(async move {
            let mut embeddings = Embeddings::default();
            for text in texts {
                let (vector, tokens) = vector_of(text);
                embeddings.vectors.push(vector);
                embeddings.total_tokens += tokens;
                // A long call yields between texts; one text takes well under a millisecond.
                tokio::task::consume_budget().await;
            }
            Ok(embeddings)
        })
    }
}

/// Counts words.
pub(crate) fn count_tokens(text: &str) -> usize {
    words::words(text).len()
}

fn vector_of(text: &str) -> (Vec<f32>, usize) {
    let mut words = words::words(text);
    words.truncate(WINDOW);
    let stems: Vec<String> = words.iter().filter(|word| !word.is_stop()).map(words::Word::stem).collect();
    let mut counts = vec![0.0_f32; DIMENSIONS];
    for stem in &stems {
        add(&mut counts, b'w', stem.as_bytes(), WORD);
        for part in stem.as_bytes().windows(PART_LENGTH) {
            add(&mut counts, b'p', part, PART);
        }
    }
    for pair in stems.windows(2) {
        add(&mut counts, b'b', format!("{} {}", pair[0], pair[1]).as_bytes(), PAIR);
    }
    // A word said ten times says little more than one said three times.
    for count in &mut counts {
        *count = count.signum() * count.abs().sqrt();
    }
    normalize(&mut counts);
    (counts, words.len())
}

/// Adds a feature at the place that its hash gives, with a sign that its hash gives, so that collisions cancel out.
fn add(counts: &mut [f32], kind: u8, feature: &[u8], weight: f32) {
    let hash = fnv1a(kind, feature);
    let place = usize::try_from(hash % DIMENSIONS as u64).expect("a remainder of 384 fits any usize");
    counts[place] += if hash >> 63 == 0 { weight } else { -weight };
}

/// FNV-1a with a finishing mix: fixed for ever, as vectors are stored.
fn fnv1a(kind: u8, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in std::iter::once(&kind).chain(bytes) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
