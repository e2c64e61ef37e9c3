//! Ways to end a delivery.

use std::time::Duration;

use queue::engine::{End, Entry, Settle};

#[derive(Clone, Copy)]
pub(super) enum Verb {
    Done,
    Retry(u64),
    Release,
}

impl Verb {
    pub(super) fn item(self, id: &str, token: u64, entry: &Entry) -> Settle {
        let (id, events) = (id.to_owned(), Vec::new());
        match self {
            Self::Done => Settle::Done { id, token, end: Box::new(end_of(entry)) },
            Self::Retry(delay) => {
                Settle::Retry { id, token, delay: Duration::from_millis(delay), error: Vec::new(), events }
            }
            Self::Release => Settle::Release { id, token, events },
        }
    }
}

/// The end of an action that is completed.
fn end_of(entry: &Entry) -> End {
    End {
        tenant: entry.tenant.clone(),
        lane: entry.lane,
        recorded: entry.root.is_some(),
        status: "completed",
        why: "",
        outcome: if entry.outcome { b"Ix\0".to_vec() } else { Vec::new() },
        result: Vec::new(),
        error: Vec::new(),
        tokens: Vec::new(),
        events: Vec::new(),
        attempts: 1,
    }
}
