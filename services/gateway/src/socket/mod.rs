//! WebSockets: a session's log, pushed.
//!
//! [`upgrade`] decides who may open a socket, [`greet`] makes sure who is there, [`session`] runs one, [`hub`] carries all
//! of them over one stream to each orchestrator. A socket holds nothing that the log does not: whatever breaks, its client
//! goes on from (epoch, seq).

mod acks;
mod answers;
mod asks;
mod close;
mod dozing;
pub(crate) mod drain;
mod errands;
mod follow;
pub(crate) mod frames;
mod greet;
pub(crate) mod hub;
mod line;
mod link;
mod mailbox;
mod news;
mod proof;
pub(crate) mod request;
mod seat;
mod session;
mod sight;
mod subscriptions;
mod times;
mod told;
mod upgrade;
mod wanted;
mod watch;

pub(crate) use upgrade::upgrade;

/// A place in a session's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Numbering that `seq` belongs to.
    pub(crate) epoch: String,
    /// Last frame that was seen.
    pub(crate) seq: u64,
}

#[cfg(test)]
mod tests;
