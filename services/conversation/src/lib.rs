#![doc = include_str!("../README.md")]

mod config;
mod conversations;
mod error;
mod grpc;
mod id;
mod loose;
mod table;
mod turn;

use std::path::Path;
use std::sync::Arc;

use action::Domain;
use quota::Tiers;
use service_kit::{Kit, Service};
use store::Database;

pub use config::Config;
pub use conversations::Reader;
pub use error::Error;
pub use grpc::Grpc;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The use cases.
#[derive(Clone, Debug)]
pub struct Conversations {
    database: Database,
    tiers: Arc<Tiers>,
}

impl Conversations {
    /// Opens the tables in the data directory, making them at the first start.
    pub async fn open(config: &Config, data_dir: &Path, tiers: Arc<Tiers>) -> Result<Self, Error> {
        let path = data_dir.join("sql/conversation.db");
        let database = Database::open_with(&path, &MIGRATOR, config.durability).await?;
        Ok(Self { database, tiers })
    }
}

/// Builds the service for a host.
pub async fn service(config: Config, kit: &Kit) -> Result<Service, Error> {
    let conversations = Conversations::open(&config, &kit.data_dir, kit.tiers.clone()).await?;
    // Nothing here needs Redis: a history is read while it is away.
    Ok(Service::new(Domain::Conversation).serve(Grpc::new(conversations).server()).without_redis())
}
