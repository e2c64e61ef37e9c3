#![doc = include_str!("../README.md")]

mod config;
mod embedding;
mod error;
mod grpc;
mod worker;

use std::sync::Arc;

use action::Domain;
use models::Embedder;
use proto::embedding::v1::embedding_service_server::EmbeddingServiceServer;
use service_kit::{Kit, Service};

pub use config::Config;
pub use embedding::Embedding;
pub use error::Error;
pub use grpc::Grpc;
pub use worker::worker;

/// Makes the service: serves the façade and handles the domain's actions with `model`.
///
/// # Errors
///
/// None so far; services are made alike.
#[expect(clippy::unused_async, reason = "services are made alike, and most of them open something")]
pub async fn service(config: Config, kit: &Kit, model: Arc<dyn Embedder>) -> Result<Service, Error> {
    let embedding = Embedding::new(model, Arc::clone(&kit.tiers));
    let worker = worker(embedding.clone(), kit.queue.clone(), config.slots);
    Ok(Service::new(Domain::Embedding)
        .serve(
            EmbeddingServiceServer::new(Grpc::new(embedding, kit)).max_encoding_message_size(service_kit::MOST_MESSAGE),
        )
        .work(move |shutdown| worker.run(shutdown)))
}
