//! What the service handles from its queues.

use action::Domain;
use proto::embedding::v1::GenerateEmbeddings;
use queue::{Queue, Worker};

use crate::Embedding;

/// Makes the worker of the domain. Embedding takes the processor: with no more slots than cores, who waits does so in the
/// queue, where the tiers take turns, and not here, where nobody would.
pub fn worker(embedding: Embedding, queue: Queue, slots: usize) -> Worker {
    Worker::new(queue, Domain::Embedding, slots).on::<GenerateEmbeddings, _, _, _>(move |work, request| {
        let embedding = embedding.clone();
        async move { embedding.generate(work, request).await }
    })
}
