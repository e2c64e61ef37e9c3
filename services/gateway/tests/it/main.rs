//! The gateway as its clients meet it: a real port, a real mesh of gRPC services around it, a Redis of its own.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails where it panics, and its tasks end with it"
)]

mod chat;
mod client;
mod documents;
mod drain;
mod edge;
mod fakes;
mod flood;
mod follow;
mod http2;
mod limits;
mod mesh;
mod orchestrators;
mod origins;
mod raw;
mod settings;
mod socket;
mod tasks;
mod tls;
