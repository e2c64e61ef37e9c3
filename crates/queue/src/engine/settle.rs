//! Ends of deliveries.

use std::time::Duration;

use super::{Header, Lane, millis, number};

/// One thing to settle.
#[derive(Clone, Debug)]
pub enum Settle {
    /// The action has ended.
    Done {
        /// Id of the action.
        id: String,
        /// Token of the delivery.
        token: u64,
        /// How it ended.
        end: Box<End>,
    },
    /// The attempt failed; another is made later.
    Retry {
        /// Id of the action.
        id: String,
        /// Token of the delivery.
        token: u64,
        /// When to try again.
        delay: Duration,
        /// What went wrong, encoded.
        error: Vec<u8>,
        /// What is added to the timeline.
        events: Vec<u8>,
    },
    /// The delivery is given back as if it had not happened.
    Release {
        /// Id of the action.
        id: String,
        /// Token of the delivery.
        token: u64,
        /// What is added to the timeline.
        events: Vec<u8>,
    },
    /// Whoever had it is gone: the lease ends now as if it had run out, and whoever looks next counts a crash.
    Crash {
        /// Id of the action.
        id: String,
        /// Token of the delivery.
        token: u64,
    },
    /// An outcome in the outbox was handed over.
    Relayed {
        /// Id of the action whose outcome it is.
        id: String,
    },
}

/// How an action ended.
#[derive(Clone, Debug)]
pub struct End {
    /// Tenant of the action.
    pub tenant: String,
    /// Lane that it came through.
    pub lane: Lane,
    /// Whether a task has a record of it.
    pub recorded: bool,
    /// completed, failed, timeout or cancelled.
    pub status: &'static str,
    /// Reason of the dead letter; empty when it is none.
    pub why: &'static str,
    /// What goes into the outbox; empty when nobody wants the outcome.
    pub outcome: Vec<u8>,
    /// Encoded result.
    pub result: Vec<u8>,
    /// Encoded error.
    pub error: Vec<u8>,
    /// Encoded token usage.
    pub tokens: Vec<u8>,
    /// What is added to the timeline.
    pub events: Vec<u8>,
    /// Attempts it took.
    pub attempts: u32,
}

impl End {
    /// Begins the end of an action as its header says; what else there is to tell is empty.
    pub fn of(header: &Header, status: &'static str) -> Self {
        Self {
            tenant: header.tenant.clone(),
            lane: header.lane,
            recorded: header.root,
            status,
            why: "",
            outcome: Vec::new(),
            result: Vec::new(),
            error: Vec::new(),
            tokens: Vec::new(),
            events: Vec::new(),
            attempts: 1,
        }
    }
}

/// What became of a settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Ok,
    /// The lease is not held any more: the work is somebody else's now.
    Stale,
    /// The action has ended already.
    Gone,
}

/// Writes what `settle.lua` reads. What ends plainly one after the other, of one lane and tenant, names them once.
pub(super) fn write(items: &[Settle], arguments: &mut Vec<Vec<u8>>) {
    let mut named = Vec::new();
    for item in items {
        match item {
            Settle::Done { id, token, end } if end.is_plain() => {
                let name = [b"d", [b'0' + end.lane.place()].as_slice(), end.tenant.as_bytes()].concat();
                let same = name == named;
                arguments.extend([
                    if same { Vec::new() } else { name.clone() },
                    id.clone().into_bytes(),
                    number(token),
                ]);
                named = name;
            }
            item => item.write(arguments),
        }
    }
}

impl Settled {
    /// Reads a letter of the answer of `settle.lua`.
    pub(super) fn read(letter: u8) -> Self {
        match letter {
            b'o' => Self::Ok,
            b's' => Self::Stale,
            _ => Self::Gone,
        }
    }
}

impl Settle {
    fn write(&self, arguments: &mut Vec<Vec<u8>>) {
        match self {
            Self::Done { id, token, end } => arguments.extend([
                b"D".to_vec(),
                id.clone().into_bytes(),
                number(token),
                end.tenant.clone().into_bytes(),
                end.lane.as_str().into(),
                end.status.into(),
                end.why.into(),
                end.outcome.clone(),
                end.result.clone(),
                end.error.clone(),
                end.tokens.clone(),
                end.events.clone(),
                number(end.attempts),
                if end.recorded { b"1".to_vec() } else { Vec::new() },
            ]),
            Self::Retry { id, token, delay, error, events } => arguments.extend([
                b"r".to_vec(),
                id.clone().into_bytes(),
                number(token),
                millis(*delay),
                error.clone(),
                events.clone(),
            ]),
            Self::Release { id, token, events } => {
                arguments.extend([b"b".to_vec(), id.clone().into_bytes(), number(token), events.clone()]);
            }
            Self::Crash { id, token } => arguments.extend([b"c".to_vec(), id.clone().into_bytes(), number(token)]),
            Self::Relayed { id } => arguments.extend([b"x".to_vec(), id.clone().into_bytes(), Vec::new()]),
        }
    }

    /// Returns how many bytes it sends, roughly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Done { end, .. } => 200 + end.outcome.len() + end.result.len() + end.events.len(),
            Self::Retry { events, .. } | Self::Release { events, .. } => 200 + events.len(),
            Self::Crash { .. } | Self::Relayed { .. } => 100,
        }
    }
}

impl End {
    /// Whether nobody is told of the end: there is no record, no outcome and no dead letter.
    fn is_plain(&self) -> bool {
        self.status == "completed" && !self.recorded && self.why.is_empty() && self.outcome.is_empty()
    }
}
