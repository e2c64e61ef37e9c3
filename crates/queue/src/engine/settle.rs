//! Ends of deliveries.

use std::time::Duration;

use super::{millis, number};

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
    /// An outcome in the outbox was handed over.
    Relayed {
        /// Id of the action whose outcome it is.
        id: String,
    },
}

/// How an action ended.
#[derive(Clone, Debug, Default)]
pub struct End {
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

impl Settle {
    /// Writes the 12 values that `settle.lua` reads.
    pub(super) fn write(&self, arguments: &mut Vec<Vec<u8>>) {
        let start = arguments.len();
        match self {
            Self::Done { id, token, end } => arguments.extend([
                b"done".to_vec(),
                id.clone().into_bytes(),
                number(token),
                end.status.into(),
                end.why.into(),
                end.outcome.clone(),
                end.result.clone(),
                end.error.clone(),
                end.tokens.clone(),
                end.events.clone(),
                number(end.attempts),
            ]),
            Self::Retry { id, token, delay, error, events } => arguments.extend([
                b"retry".to_vec(),
                id.clone().into_bytes(),
                number(token),
                millis(*delay),
                Vec::new(),
                Vec::new(),
                Vec::new(),
                error.clone(),
                Vec::new(),
                events.clone(),
            ]),
            Self::Release { id, token, events } => {
                arguments.extend([b"release".to_vec(), id.clone().into_bytes(), number(token)]);
                arguments.extend(std::iter::repeat_n(Vec::new(), 6));
                arguments.push(events.clone());
            }
            Self::Relayed { id } => arguments.extend([b"relayed".to_vec(), id.clone().into_bytes()]),
        }
        arguments.resize(start + 12, Vec::new());
    }

    /// Returns how many bytes it sends, roughly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Done { end, .. } => 200 + end.outcome.len() + end.result.len() + end.events.len(),
            Self::Retry { events, .. } | Self::Release { events, .. } => 200 + events.len(),
            Self::Relayed { .. } => 100,
        }
    }
}
