//! The gateway as its clients meet it: a real port, a real mesh of gRPC services around it, a Redis of its own.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails where it panics, and its tasks end with it"
)]

mod asyncapi;
mod chat;
mod client;
mod connections;
mod documents;
mod drain;
mod edge;
mod fakes;
mod flood;
mod follow;
mod hostile;
mod http2;
mod limits;
mod mesh;
mod orchestrators;
mod origins;
mod raw;
mod send;
mod settings;
mod socket;
mod subscribe;
mod tasks;
mod tickets;
mod tls;
mod tokens;
mod visits;
