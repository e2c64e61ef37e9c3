//! Connects to Redis or Valkey and runs scripts, for the few crates that may know Redis.
//!
//! The URL says how the servers stand together:
//!
//! | URL | what is there |
//! |---|---|
//! | `redis://[user:password@]host:port/db`, `rediss://…`, `unix:///path` | one server |
//! | `redis-sentinel://[user:password@]host:port[,host:port…]/master[/db]` | sentinels that know where the master is |
//! | `redis-cluster://[user:password@]host:port[,host:port…]` | some nodes of a cluster, which name the others |
//!
//! `rediss-sentinel://` and `rediss-cluster://` are the same over TLS. User and password are those of the servers;
//! sentinels that ask for some are given the same.
//!
//! # What always holds
//!
//! * One shared connection a server carries every command that answers at once; it comes back by itself when Redis does,
//!   with sentinels at the master of that moment, in a cluster at the node that owns the key.
//! * A command that blocks has a connection of its own ([`Redis::blocking`]), so that nothing waits behind it.
//! * A script is sent by its hash, and whole to a server that does not know it; a function by its name, and its library to a
//!   server that does not have it. So `SCRIPT FLUSH`, `FUNCTION FLUSH`, restarts and failovers are harmless.
//! * An error tells whether Redis is away or changing ([`Error::Unavailable`]) or answered no ([`Error::Refused`]).
//! * A command is sent again only if a server said that it did not run it (`NOSCRIPT`, `MOVED`, `ASK`). What may have
//!   happened is never repeated in secret: the caller gets [`Error::Unavailable`] and knows best.
//! * In a cluster a command or script touches keys of one slot. A pipeline may touch many: its commands are sorted by node,
//!   the nodes work at the same time, and the answers come in the order of the commands. Commands without a key go to
//!   some master, so what they say (`DBSIZE`, `SCAN`) is about that master alone.

mod blocking;
mod cluster;
mod error;
mod info;
mod line;
mod redis;
mod script;
mod sentinel;
mod url;

pub use self::redis::Redis;
pub use blocking::Blocking;
pub use error::Error;
pub use info::ServerInfo;
pub use script::{Function, Library, NO_ARGUMENTS, Script};
pub use url::UrlProblem;
