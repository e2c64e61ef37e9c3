//! The vocabulary of the mesh: who asks ([`TenantId`], [`Tier`]), where ([`ExecutionContext`], [`QueueName`]), and what for
//! ([`Action`], the [`catalogue`]).
//!
//! # What always holds
//!
//! * A value of these types is well formed: parsing is the only way in, and nobody checks again.
//! * The name of a queue is written and read in [`QueueName`] alone.
//! * An action's payload is the one that the catalogue lists for its type; a foreign one becomes an [`Error`], never a panic.
//! * Nothing here does I/O.

pub mod agent_run;
mod callback;
pub mod catalogue;
mod context;
mod domain;
mod envelope;
mod error;
mod id;
mod name;
mod tier;
pub mod time;

pub use callback::{Outcome, detail_of, failure_of};
pub use catalogue::{Contract, Kind};
pub use context::{ContextId, ContextType, ExecutionContext};
pub use domain::Domain;
pub use envelope::{Action, Deadline, Delivery, Trace};
pub use error::Error;
pub use id::{
    ActionId, AgentId, CollectionId, ConversationId, CorrelationId, DocumentId, SessionId, TaskId, TenantId, UserId,
};
pub use name::QueueName;
pub use tier::Tier;

/// How far work has come; the same six words everywhere.
pub use proto::action::v1::Status;

#[cfg(test)]
mod tests;
