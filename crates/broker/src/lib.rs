//! Connects to Redis and runs scripts, for the few crates that may know Redis.
//!
//! # What always holds
//!
//! * One shared connection carries every command that answers at once; it comes back by itself when Redis does.
//! * A command that blocks has a connection of its own ([`Redis::blocking`]), so that nothing waits behind it.
//! * A script is sent by its hash and loaded when the server does not know it, so `SCRIPT FLUSH` and restarts are harmless.
//! * An error tells whether Redis is away ([`Error::Unavailable`]) or answered no ([`Error::Refused`]).

mod blocking;
mod error;
mod script;
mod server;
mod shared;

pub use blocking::Blocking;
pub use error::Error;
pub use script::Script;
pub use server::ServerInfo;
pub use shared::Redis;
