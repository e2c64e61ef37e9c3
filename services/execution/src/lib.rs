#![doc = include_str!("../README.md")]

mod agents;
mod config;
mod context;
mod error;
mod grpc;
mod history;
mod instructions;
mod run;

use std::sync::Arc;

use action::Domain;
use models::LanguageModel;
use queue::Worker;
use service_kit::{Intake, Kit, Service};

pub use config::Config;
pub use error::Error;

use agents::Agents;
use grpc::Grpc;
use history::History;
use run::Runs;

/// Makes the service: the façade, and the worker that runs agents with a language model.
#[expect(clippy::unused_async, reason = "every service is made this way, and most have something to wait for")]
pub async fn service(config: Config, kit: &Kit, model: Arc<dyn LanguageModel>) -> Result<Service, Error> {
    let runs = Runs {
        agents: Agents::new(kit.peers.clone(), kit.changes.clone(), config.agent_config_cache_ttl),
        history: History::new(kit.peers.clone()),
        sessions: kit.sessions.clone(),
        tiers: Arc::clone(&kit.tiers),
        model,
    };
    let worker = Worker::new(kit.queue.clone(), Domain::Execution, config.slots).on(move |work, message| {
        let runs = runs.clone();
        async move { runs.answer(work, message).await }
    });
    Ok(Service::new(Domain::Execution)
        .serve(Grpc(Intake::new(kit)).server())
        .work(move |shutdown| worker.run(shutdown)))
}
