//! What the service handles from its queues.

use action::Domain;
use proto::ingestion::v1::ProcessDocument;
use queue::{Queue, Worker};

use crate::Ingestion;

/// Makes the worker of the domain.
pub fn worker(ingestion: Ingestion, queue: Queue, slots: usize) -> Worker {
    Worker::new(queue, Domain::Ingestion, slots).on::<ProcessDocument, _, _, _>(move |work, request| {
        let ingestion = ingestion.clone();
        async move { ingestion.process(work, request).await }
    })
}
