//! What every service stands on: settings, identity, admission, clients of the other services, and the [`Host`] that
//! binds, serves, works and drains.
//!
//! A process reads its [`config::Settings`], binds a [`Host`], starts a [`Kit`] (Redis, queue, sessions, quota, peers),
//! lets each service make its [`Service`] out of the kit, and hands them to the host.
//!
//! # What always holds
//!
//! * All mistakes in the settings are reported at once, before anything is started.
//! * A façade sees a [`Caller`] that was proved; who proves nothing is refused before anything is read, and an identity that the mesh did not sign is refused, never ignored.
//! * Who cannot be checked is not let in: a dependency that is away means `UNAVAILABLE`, not access.
//! * What management changes holds everywhere within a second: whatever was learned before is believed no more.
//! * Work that is refused costs nothing: an [`Intake`] checks first and charges last.
//! * With TLS between services a process takes calls of the mesh only from who shows a certificate of its authority.
//! * A deadline that runs out is DEADLINE_EXCEEDED, on both sides of a call.
//! * Health tells the truth within seconds; a drain ends within its grace, whatever hangs.

mod admin;
mod admission;
mod around;
mod bucket;
mod changes;
pub mod config;
mod deadline;
mod health;
mod host;
pub mod identity;
pub mod intake;
mod kit;
mod peers;
mod queue_service;
pub mod queue_view;
pub mod secret_file;
mod service;
mod task_service;
mod tasks;
pub mod tiers;
pub mod tls;

pub use admission::{Admission, AdmissionConfig, NotAdmitted, Spend, estimate_tokens, may_use};
pub use bucket::Bucket;
pub use changes::{Change, Changes};
pub use config::{Secret, Settings};
pub use deadline::CallTimeout;
pub use health::{Health, Report};
pub use host::{Error, Host, HostConfig, Part};
pub use identity::{Caller, Identity, Resolver, Scope, Scopes, Signer, Tenant};
pub use intake::{Intake, Order, Terms};
pub use kit::{Kit, KitConfig, KitError};
pub use peers::{Orchestrators, Peer, Peers, PeersConfig, Reach, Resolve};
pub use service::{MOST_MESSAGE, Service};
pub use tasks::{SeenThrough, Tasks, spawn};
