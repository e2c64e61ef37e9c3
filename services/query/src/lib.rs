#![doc = include_str!("../README.md")]

mod add;
mod config;
mod error;
mod generate;
mod grpc;
mod index;
mod query;
mod rank;
mod search;
mod worker;

use std::sync::Arc;

use action::Domain;
use models::LanguageModel;
use proto::query::v1::query_service_server::QueryServiceServer;
use service_kit::{Kit, Service};

pub use config::Config;
pub use error::Error;
pub use grpc::Grpc;
pub use index::{Chunk, Hit, Index, Part, Stats};
pub use query::Query;
pub use rank::Question;
pub use worker::worker;

/// Makes the service: opens the index in `<data-dir>/sql/query.db`, serves the façade and handles the domain's actions.
///
/// # Errors
///
/// [`Error::Store`] when the index cannot be opened.
pub async fn service(config: Config, kit: &Kit, model: Arc<dyn LanguageModel>) -> Result<Service, Error> {
    let path = kit.data_dir.join("sql").join("query.db");
    let index = Index::open(&path, config.index_memory).await?;
    let slots = config.slots;
    let query = Query::new(config, index, model, kit.sessions.clone(), Arc::clone(&kit.tiers));
    let worker = worker(query.clone(), kit.queue.clone(), slots);
    Ok(Service::new(Domain::Query)
        .serve(QueryServiceServer::new(Grpc::new(query, kit)).max_encoding_message_size(service_kit::MOST_MESSAGE))
        .work(move |shutdown| worker.run(shutdown)))
}
