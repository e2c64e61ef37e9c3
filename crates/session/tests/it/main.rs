//! Session logs against a real Redis.

#![expect(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod announce;
mod append;
mod cluster;
mod connections;
mod deltas;
mod follow;
mod model;
mod outage;
mod read;
mod support;
mod ticket;
