//! What a reader or follower sees.

use std::ops::RangeInclusive;

use proto::orchestrator::v1 as wire;
use proto::orchestrator::v1::connect_response;
use proto::task::v1::Frame;

/// A place in a log: after the frame `seq` of `epoch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Numbering that `seq` belongs to; empty for none, which stands for the last acknowledged frame.
    pub epoch: String,
    /// Last position that was seen; 0 for none.
    pub seq: u64,
}

/// Where following starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After the last acknowledged frame.
    Acknowledged,
    /// After a known position.
    After(Position),
    /// At the oldest frame that is kept.
    Beginning,
    /// After everything that is there.
    Now,
}

/// One thing that a follower is told.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a frame, so a box would only cost an allocation")]
pub enum Event {
    /// The log is followed from now on; always the first event, and only there.
    Attached {
        /// Numbering in force.
        epoch: String,
        /// Last position in the log.
        top: u64,
        /// Position after which frames follow.
        after: u64,
    },
    /// A frame. A jump of `seq` without a [`Event::Gap`] before it hides only deltas that the task's final frame replaces.
    Frame(Frame),
    /// Frames are gone, or the numbering changed.
    Gap(Gap),
    /// Everything that was in the log when following started has been told; what comes now happens now.
    Resumed {
        /// First position that was looked at; greater than `to` when nothing was missed.
        from: u64,
        /// Last position that was looked at.
        to: u64,
        /// Numbering in force.
        epoch: String,
    },
}

impl Event {
    /// Returns the event as the orchestrator's stream carries it.
    pub fn into_proto(self) -> connect_response::Event {
        match self {
            Self::Attached { epoch, top, after } => {
                connect_response::Event::Attached(wire::Attached { epoch, top, after })
            }
            Self::Frame(frame) => connect_response::Event::Frame(frame),
            Self::Gap(gap) => connect_response::Event::Gap(wire::Gap {
                missed_from: gap.missed.as_ref().map_or(0, |missed| *missed.start()),
                missed_to: gap.missed.as_ref().map_or(0, |missed| *missed.end()),
                reason: gap.reason.as_str().to_owned(),
                epoch: gap.epoch,
                after: gap.after,
            }),
            Self::Resumed { from, to, epoch } => connect_response::Event::Resumed(wire::Resumed { from, to, epoch }),
        }
    }
}

/// Frames that cannot be told any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The positions that are missing, in the numbering in force, at least one; none when nobody knows which are missing, or
    /// whether any is: a server that came back may have forgotten what it was told last.
    pub missed: Option<RangeInclusive<u64>>,
    /// Why.
    pub reason: GapReason,
    /// Numbering in force.
    pub epoch: String,
    /// Position after which frames go on.
    pub after: u64,
}

/// Why frames are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Nobody wrote or followed for longer than the log is kept.
    Expired,
    /// The log reached its greatest length.
    Trimmed,
    /// The server came back and may have lost what it knew last.
    Epoch,
}

impl GapReason {
    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
        }
    }
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Numbering in force; empty when there is no such log.
    pub epoch: String,
    /// Last position in the log.
    pub top: u64,
    /// Position from which this page was read, exclusive; what was asked for unless there is a gap.
    pub after: u64,
    /// Position up to which this page tells everything; the next one starts after it.
    pub upto: u64,
    /// The frames, without deltas of tasks whose final frame is in the log.
    pub frames: Vec<Frame>,
    /// What is missing before them.
    pub gap: Option<Gap>,
}
