//! What the service handles from its queues.

use action::Domain;
use proto::query::v1::{GenerateAnswer, IndexChunks, SearchPassages};
use queue::{Queue, Worker};

use crate::Query;

/// Makes the worker of the domain.
pub fn worker(query: Query, queue: Queue, slots: usize) -> Worker {
    let (search, generate, index) = (query.clone(), query.clone(), query);
    Worker::new(queue, Domain::Query, slots)
        .on::<SearchPassages, _, _, _>(move |work, request| {
            let query = search.clone();
            async move { query.search(work, request).await }
        })
        .on::<GenerateAnswer, _, _, _>(move |work, request| {
            let query = generate.clone();
            async move { query.generate(work, request).await }
        })
        .on::<IndexChunks, _, _, _>(move |work, request| {
            let query = index.clone();
            async move { query.add(work, request).await }
        })
}
