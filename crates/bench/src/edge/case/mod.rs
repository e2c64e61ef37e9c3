//! What is measured, one module a case.

mod chat;
mod crash;
mod limiter;
mod refused;
mod sockets;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Handle;

use super::results::Results;
use super::world::World;
use crate::figures::Figures;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Rounds of everything that is repeated.
    pub(crate) rounds: usize,
    /// How long requests go on in one run.
    pub(crate) run: Duration,
    /// Sockets that are held.
    pub(crate) sockets: usize,
    /// Messages that each of them is sent in a run.
    pub(crate) messages: usize,
    /// Tenants that the limiter is tried with.
    pub(crate) seeds: u32,
    /// Sessions that are followed when their gateway is killed.
    pub(crate) streams: usize,
}

impl Size {
    /// What is published.
    pub(crate) const fn full(rounds: usize) -> Self {
        Self { rounds, run: Duration::from_secs(4), sockets: 5_000, messages: 20, seeds: 100, streams: 2_000 }
    }

    /// A first look.
    pub(crate) const fn quick(rounds: usize) -> Self {
        Self { rounds, run: Duration::from_secs(1), sockets: 200, messages: 20, seeds: 5, streams: 100 }
    }
}

/// One measurement, by name.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is done, in one line.
    pub(crate) about: &'static str,
    /// Names of its results.
    pub(crate) shows: &'static [&'static str],
    run: fn(&mut Stage<'_>) -> Result<()>,
}

impl Case {
    /// Runs it.
    pub(crate) fn run(&self, stage: &mut Stage<'_>) -> Result<()> {
        (self.run)(stage)
    }
}

/// Every case.
pub(crate) const ALL: [Case; 5] = [
    Case {
        name: "chat",
        about: "POST /api/chat/send over 32 connections, beside axum that calls tonic and does nothing else",
        shows: &["chat"],
        run: chat::run,
    },
    Case {
        name: "refused",
        about: "the same for a tenant whose day is used up (429), beside axum that echoes JSON",
        shows: &["refused"],
        run: refused::run,
    },
    Case {
        name: "limiter",
        about: "four processes with 50 callers each charge one tenant at once, limits drawn by lot",
        shows: &["limiter"],
        run: limiter::run,
    },
    Case {
        name: "sockets",
        about: "sockets that wait, and a paced stream of frames to all of them in turn, beside a bare axum loop",
        shows: &["idle", "push"],
        run: sockets::run,
    },
    Case {
        name: "crash",
        about: "a gateway is killed while its sockets are streamed to; their clients go on at another one",
        shows: &["crash"],
        run: crash::run,
    },
];

/// What a case works with.
pub(crate) struct Stage<'a> {
    pub(crate) world: World,
    pub(crate) size: Size,
    pub(crate) results: Results,
    pub(crate) runtime: Handle,
    pub(crate) say: &'a mut dyn FnMut(&str),
}

impl<'a> Stage<'a> {
    /// Starts what all cases share.
    pub(crate) fn start(program: &Path, size: Size, say: &'a mut dyn FnMut(&str)) -> Result<Self> {
        let world = World::start(program)?;
        Ok(Self { world, size, results: Results::default(), runtime: Handle::current(), say })
    }
}

/// Makes figures out of pairs.
fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Divides by a number of things.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 of them")]
fn per(value: f64, things: u64) -> f64 {
    value / things.max(1) as f64
}

/// Everybody in turn, in the other order every second round, so that what comes and goes hits all alike.
fn turns<T: Copy, const N: usize>(round: usize, mut all: [T; N]) -> [T; N] {
    if round % 2 == 1 {
        all.reverse();
    }
    all
}
