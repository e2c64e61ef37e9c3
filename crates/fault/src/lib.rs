//! Decides what failure looks like outside: one table from a reason to its gRPC code, its HTTP status, its problem type
//! and the words a caller reads.
//!
//! # What always holds
//!
//! * A [`Reason`] is listed once, in [`reason`]; its `id` (ErrorInfo) and `slug` (problem `type`) never change meaning.
//! * [`tonic::Status`] is built here and nowhere else.
//! * The text of an internal error stays inside: callers get a generic sentence, the log gets the chain, once.
//! * A failure read back from a status ([`Failure::from_status`]) has the reason, field and retry hint it was sent with.

mod code;
mod failure;
mod problem;
pub mod reason;
mod wire;

pub use code::Code;
pub use failure::{Failure, Fault};
pub use problem::Problem;
pub use reason::Reason;
pub use wire::{DOMAIN, status};

#[cfg(test)]
mod tests;
