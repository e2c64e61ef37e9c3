//! The log of a session: what happened, in order, for whoever looks now, later, or again. Beside it, what else sockets need of
//! Redis: [`Tickets`] that open one, and [`connections`], which counts them.
//!
//! Workers append frames, sockets and streams follow them. A log is a Redis stream with a little state beside it, all
//! under one hash tag, so that each script touches one slot:
//!
//! | key | type | holds |
//! |---|---|---|
//! | `{ns:<tenant>:s:<session>}:log` | stream | frames; the id of an entry is `<seq>-0` |
//! | `{ns:<tenant>:s:<session>}:meta` | hash | `epoch`, `seq`, `acked`, `run` (server that numbered last), `lineage` (earlier epochs), `ttl` |
//! | `{ns:<tenant>:s:<session>}:nodes` | sorted set | processes that follow, by when their lease ends |
//! | `{ns:<tenant>:s:<session>}:t:<task>` | hash | `fence`, `wrote`, `index`, `final` of one task |
//!
//! An agent has the log `{ns:<tenant>:a:<agent>}:log`, in which its tasks say how far they are; it is written only while somebody
//! follows it. A task without a session has the log `{ns:<tenant>:t:<task>}:log`, so no name of a session can collide with it.
//!
//! # What always holds
//!
//! * Positions (`seq`) of an epoch start at 1 and have no holes; a follower gets every frame once, in order, or is told of
//!   a [`Gap`]. The only frames left out silently are deltas of tasks whose final frame follows.
//! * A frame of an earlier attempt (a lower fence) and anything after a task's final frame is refused, in the same atomic
//!   step that numbers frames.
//! * An epoch ends when the server is not the one that numbered last: it may have come back without its last seconds. What
//!   it still has stays readable under the new epoch; followers continue after what both epochs share and are told.
//! * Following costs a process one connection, however many logs it follows. Hints may get lost; the log is the truth.
//! * Every key has a time to live, every log a greatest length.

mod append;
mod config;
pub mod connections;
mod deltas;
mod error;
mod event;
mod follow;
mod hub;
mod log;
mod read;
mod scripts;
mod sessions;
mod ticket;

pub use append::{Announcement, Append, Appended, Finality, frame_of, kind_of};
pub use config::Config;
pub use connections::Connections;
pub use deltas::Deltas;
pub use error::Error;
pub use event::{Event, Gap, GapReason, Page, Position, Start};
pub use log::Log;
pub use sessions::Sessions;
pub use ticket::{Grant, Tickets};
