#![doc = include_str!("../README.md")]

mod agent;
mod agent_table;
mod agents;
mod bootstrap;
mod collections;
mod config;
mod error;
mod field;
mod grpc;
mod key;
mod key_table;
mod keys;
mod limit;
mod public;
mod slug;
mod tenants;

use std::path::Path;
use std::sync::Arc;

use action::Domain;
use quota::Tiers;
use service_kit::{Change, Changes, Kit, Service};
use store::Database;

pub use bootstrap::admin_key;
pub use config::Config;
pub use error::{Error, Thing};
pub use grpc::Grpc;

use key::Pepper;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The use cases: who may do what is decided before ([`Grpc`]), what is allowed to stand in the tables is decided here.
#[derive(Clone, Debug)]
pub struct Management {
    database: Database,
    tiers: Arc<Tiers>,
    pepper: Arc<Pepper>,
    changes: Changes,
}

impl Management {
    /// Opens the tables and the pepper in the data directory, making both at the first start.
    pub async fn open(config: &Config, data_dir: &Path, tiers: Arc<Tiers>) -> Result<Self, Error> {
        let database = Database::open(&data_dir.join("sql/management.db"), &MIGRATOR).await?;
        let pepper = Arc::new(Pepper::open(config, data_dir)?);
        Ok(Self { database, tiers, pepper, changes: Changes::unheard() })
    }

    /// Tells every process of what is changed here.
    #[must_use]
    pub fn announcing(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }
}

/// Builds the service for a host.
pub async fn service(config: Config, kit: &Kit) -> Result<Service, Error> {
    let management = Management::open(&config, &kit.data_dir, kit.tiers.clone()).await?;
    let management = management.announcing(kit.changes.clone());
    // What was changed just before an earlier process ended was perhaps not told.
    kit.changes.announce(Change::Everything).await;
    // Nothing but a look at limits needs Redis: keys resolve and agents are read while it is away.
    let grpc = Grpc::new(management, kit.quota.clone());
    Ok(Service::new(Domain::Management).serve(grpc.server()).without_redis())
}
