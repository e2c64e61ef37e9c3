#![doc = include_str!("../README.md")]
// The futures of a request lie in each other, deeper than the compiler looks by itself.
#![recursion_limit = "256"]

mod agents;
mod around;
mod asyncapi;
mod body;
mod chat;
mod chat_tasks;
mod client;
mod collections;
mod completions;
mod config;
mod conversations;
mod credential;
mod document_list;
mod documents;
mod edge;
mod errors_page;
mod events;
#[cfg(test)]
mod golden;
mod head;
mod headers;
mod health;
mod idempotent;
mod identity;
mod limits;
mod made;
mod metrics;
mod observe;
mod openapi;
mod origin;
mod params;
mod places;
mod problem;
mod public;
mod rate_limit;
mod router;
mod server;
mod shares;
mod socket;
mod spent;
mod stats;
mod tasks;
mod tickets;
mod upload;
mod view;
mod watch;

pub use client::{ClientAddress, ForwardedHeader};
pub use config::Config;
pub use origin::Origins;
pub use server::{Error, serve};
