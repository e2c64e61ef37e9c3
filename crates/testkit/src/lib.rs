//! What tests start and lean on: real servers on sockets and ports of their own, and waiting without sleeping for luck.
//!
//! # What always holds
//!
//! * Whatever a test starts ends with it, also when it panics.
//! * Nothing needs the network, a fixed port or another test.

mod authority;
mod cluster;
mod eventually;
pub mod http2;
pub mod openai;
pub mod otlp;
mod proxy;
mod redis;
mod rest;
mod sentinels;
mod server;

pub use self::redis::Redis;
pub use authority::{Authority, Issued};
pub use cluster::{Cluster, Takeover};
pub use eventually::eventually;
pub use proxy::Proxy;
pub use rest::rest;
pub use sentinels::Sentinels;
