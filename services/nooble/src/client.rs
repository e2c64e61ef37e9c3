//! Talking to a running Nooble as its users do: REST and WebSocket at the edge.

mod demo_file;
mod door;
mod edge;
mod socket;

pub(crate) use demo_file::{DemoFile, DemoTenant};
pub(crate) use door::{Door, Way};
pub(crate) use edge::Edge;
pub(crate) use socket::Socket;
