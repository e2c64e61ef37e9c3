//! The port to embedding models: text in, vectors of unit length out.

use std::fmt;

use futures::future::BoxFuture;

use crate::Error;

/// What is to be known about an embedding model.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingModel {
    /// Its name, stored beside vectors: vectors of models with different names are not comparable.
    pub name: String,
    /// How many numbers a vector has.
    pub dimensions: usize,
    /// The most tokens of one text, by [`Embedder::count_tokens`]; what comes after is ignored.
    pub window: usize,
    /// The cosine similarity from which a passage counts as relevant to a question, as calibrated for this model:
    /// each model spreads its similarities differently.
    pub relevance_threshold: f32,
}

/// The vectors of some texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// One vector of unit length per text, in the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// How many tokens were read.
    pub total_tokens: usize,
}

/// An embedding model. Used as `Arc<dyn Embedder>`; clones share the model.
pub trait Embedder: Send + Sync + fmt::Debug {
    /// Describes the model.
    fn model(&self) -> &EmbeddingModel;

    /// Counts the tokens of a text as the model sees it, marks at both ends included.
    fn count_tokens(&self, text: &str) -> usize;

    /// Turns texts into vectors. An empty text has a vector too; no texts give no vectors.
    ///
    /// Work on the processor is done off the asynchronous threads, in pieces of at most about 0.3 s, so that a long
    /// call does not keep a short one waiting. Dropping the future ends the work after the piece in hand.
    ///
    /// # Errors
    ///
    /// Those of the provider; a model that runs here fails only by a defect.
    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Embeddings, Error>>;
}

/// Scales a vector to unit length; a vector of zeros becomes the first axis, so that it has a direction at all.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > f32::EPSILON && length.is_finite() {
        for x in vector {
            *x /= length;
        }
    } else {
        vector.fill(0.0);
        if let Some(first) = vector.first_mut() {
            *first = 1.0;
        }
    }
}

/// The cosine similarity of two vectors of unit length.
#[cfg(test)]
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::{cosine, normalize};

    #[test]
    fn vectors_get_unit_length_even_when_there_is_nothing_to_scale() {
        let mut some = vec![3.0, 4.0];
        normalize(&mut some);
        assert_eq!(some, [0.6, 0.8]);
        for degenerate in [vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            let mut vector = degenerate;
            normalize(&mut vector);
            assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-6);
        }
    }
}
