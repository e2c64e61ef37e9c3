//! What tests start and lean on: real servers on sockets and ports of their own, and waiting without sleeping for luck.
//!
//! # What always holds
//!
//! * Whatever a test starts ends with it, also when it panics.
//! * Nothing needs the network, a fixed port or another test.

mod eventually;
pub mod openai;
pub mod otlp;
mod redis;

pub use self::redis::Redis;
pub use eventually::eventually;
