//! Session logs against a real Redis.

mod append;
mod cluster;
mod deltas;
mod follow;
mod model;
mod outage;
mod read;
mod support;
