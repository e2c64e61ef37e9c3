#![doc = include_str!("../README.md")]

mod again;
mod chunk;
mod config;
mod documents;
mod error;
mod feed;
mod grpc;
mod ingestion;
mod media;
mod objects;
mod process;
mod read;
mod report;
mod turns;
mod upload;
mod worker;

use action::Domain;
use models::Tokens;
use proto::ingestion::v1::ingestion_service_server::IngestionServiceServer;
use service_kit::{Kit, Service};

pub use config::Config;
pub use error::Error;
pub use grpc::Grpc;
pub use ingestion::Ingestion;
pub use media::MediaType;
pub use read::{Limits, ReaderProgram, read_document};
pub use worker::worker;

/// Makes the service: serves the façade and handles the domain's actions. `tokens` counts as the
/// model does that the embedding service runs.
///
/// # Errors
///
/// [`Error::Store`] and [`Error::Io`] when the table or the object store cannot be opened.
pub async fn service(config: Config, kit: &Kit, tokens: Tokens) -> Result<Service, Error> {
    let slots = config.slots;
    let ingestion = Ingestion::open(config, kit.clone(), tokens).await?;
    let worker = worker(ingestion.clone(), kit.queue.clone(), slots);
    Ok(Service::new(Domain::Ingestion)
        .serve(IngestionServiceServer::new(Grpc::new(ingestion)).max_encoding_message_size(service_kit::MOST_MESSAGE))
        .work(move |shutdown| worker.run(shutdown)))
}
