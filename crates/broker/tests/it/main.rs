//! The broker against real servers.

mod cluster;
mod failover;
mod network;
mod sentinel;
mod server;
mod support;
