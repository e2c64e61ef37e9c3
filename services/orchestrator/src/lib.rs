#![doc = include_str!("../README.md")]

pub mod callback;
mod config;
mod connect;
mod deliver;
mod ending;
mod error;
mod estimate;
mod grpc;
mod message;
mod send;

use action::Domain;
use queue::Worker;
use service_kit::{Intake, Kit, Service};

pub use config::Config;
pub use error::Error;

use connect::Follower;
use deliver::Delivery;
use grpc::Grpc;
use send::Inlet;

/// Makes the service: the façade, and the worker that consumes outcomes.
#[expect(clippy::unused_async, reason = "every service is made this way, and most have something to wait for")]
pub async fn service(config: Config, kit: &Kit) -> Result<Service, Error> {
    let inlet = Inlet {
        intake: Intake::new(kit),
        queue: kit.queue.clone(),
        sessions: kit.sessions.clone(),
        enable_access_validation: config.enable_access_validation,
    };
    let follower = Follower {
        sessions: kit.sessions.clone(),
        queue: kit.queue.clone(),
        max_channels: config.max_channels,
        proof: kit.proof,
    };
    let delivery = Delivery { sessions: kit.sessions.clone(), quota: kit.quota.clone() };
    let outcomes = Worker::new(kit.queue.clone(), Domain::Orchestrator, config.callback_slots).on_callback(
        move |work, callback| {
            let delivery = delivery.clone();
            async move { delivery.deliver(work.action(), &callback).await }
        },
    );
    Ok(Service::new(Domain::Orchestrator)
        .serve(Grpc { inlet, follower }.server())
        .work(move |shutdown| outcomes.run(shutdown)))
}
