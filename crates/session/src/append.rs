//! Appending frames.

use std::time::Duration;

use action::{Action, Status, TaskId, Tier};
use prost::Message as _;
use proto::action::v1::TraceContext;
use proto::task::v1::frame::Body;
use proto::task::v1::{Frame, TaskUpdate};

use crate::log::Keys;
use crate::scripts::{new_epoch, number};
use crate::{Config, Error, Log};

/// Stage of the frame that tells of a new attempt.
const RESTARTED: &str = "restarted";
/// Larger hints would only make a slow follower slower; it reads the log instead.
const HINT_BYTES: usize = 64 * 1024;

/// A frame to append, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Task that the frame is about.
    pub task: TaskId,
    /// Fencing token of the attempt that writes, [`Action::fence`]; at most [`Append::DECIDED`].
    pub fence: u64,
    /// Whether anything may follow.
    pub finality: Finality,
    /// The frame; the log fills `epoch`, `seq` and `at`.
    pub frame: Frame,
}

impl Append {
    /// Fence of what was decided about a task without an attempt of its own, such as its cancellation: above every
    /// attempt's. It is the greatest number that Lua counts exactly.
    pub const DECIDED: u64 = (1 << 53) - 1;

    /// Makes a frame of an action's task after which more may follow.
    pub fn progress(action: &Action, body: Body) -> Self {
        let frame = frame_of(action, body);
        Self { task: action.task, fence: action.fence(), finality: Finality::Progress, frame }
    }

    /// Makes the frame after which nothing follows for an action's task.
    pub fn last(action: &Action, body: Body) -> Self {
        Self { finality: Finality::Final, ..Self::progress(action, body) }
    }
}

/// Says how far a task is, and nothing of what it says.
fn state(action: &Action, status: Status) -> Append {
    let update =
        TaskUpdate { status: status.into(), attempt: action.attempt(), percentage: -1.0, ..TaskUpdate::default() };
    let append = Append::progress(action, Body::TaskUpdate(update));
    match status {
        Status::Completed | Status::Failed | Status::Timeout | Status::Cancelled => {
            Append { fence: Append::DECIDED, finality: Finality::Final, ..append }
        }
        Status::Unspecified | Status::Pending | Status::Running => append,
    }
}

/// Tells whoever follows an agent how far one of its tasks is.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub(crate) log: Log,
    pub(crate) append: Append,
}

impl Announcement {
    /// Makes it out of an action; none when it runs no agent.
    pub fn of(action: &Action, status: Status) -> Option<Self> {
        Some(Self { log: Log::of_agent(action)?, append: state(action, status) })
    }
}

/// Whether a frame ends its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// More may follow.
    Progress,
    /// Nothing follows for this task.
    Final,
}

/// Where a frame was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Numbering in force.
    pub epoch: String,
    /// Position of the frame; of the last one in the log if this delta had been appended before.
    pub seq: u64,
}

/// Makes a frame that belongs to an action's task, session and tenant, and to the current trace or else the action's.
pub fn frame_of(action: &Action, body: Body) -> Frame {
    let (mut traceparent, mut tracestate) = telemetry::current();
    if traceparent.is_empty() {
        (traceparent, tracestate) = (action.trace.parent.clone(), action.trace.state.clone());
    }
    Frame {
        epoch: String::new(),
        seq: 0,
        at: None,
        task_id: action.task.to_string(),
        session_id: action.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        tenant_id: action.tenant.to_string(),
        tier: action.tier.to_proto().into(),
        trace: Some(TraceContext { traceparent, tracestate }),
        body: Some(body),
    }
}

/// Returns the word for what a frame says, as clients read it.
pub fn kind_of(frame: &Frame) -> &'static str {
    match &frame.body {
        Some(Body::AgentDelta(_)) => "agent_delta",
        Some(Body::AgentResponse(_)) => "agent_response",
        Some(Body::TaskUpdate(_)) => "task_update",
        Some(Body::Error(_)) => "error",
        Some(Body::TypingIndicator(_)) => "typing_indicator",
        None => "empty",
    }
}

/// One call of the script that appends.
pub(crate) struct Call {
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
}

impl Call {
    /// Begins with the frame that tells of a restart, if there shall be one.
    fn new(keys: &Keys, config: &Config, tier: i32, restart: Option<&Frame>) -> Self {
        let retention = Tier::from_proto(tier).map_or(config.retention_free, |tier| config.retention(tier));
        let arguments = vec![
            new_epoch(),
            number(millis(retention)),
            number(config.max_frames),
            number(HINT_BYTES),
            restart.map(Frame::encode_to_vec).unwrap_or_default(),
        ];
        Self { keys: vec![keys.meta.clone(), keys.log.clone(), keys.nodes.clone()], arguments }
    }

    /// Appends frames; if the first one begins an attempt, it is preceded by word of the restart where one is due.
    pub(crate) fn frames(keys: &Keys, config: &Config, appends: &[Append]) -> Self {
        let tier = appends.first().map_or(0, |append| append.frame.tier);
        let restart = appends.first().and_then(restart_before);
        let mut call = Self::new(keys, config, tier, restart.as_ref());
        for append in appends {
            let (kind, index) = match &append.frame.body {
                Some(Body::AgentDelta(delta)) => ("d", i64::from(delta.index)),
                _ => ("f", -1),
            };
            call.add(keys, append.task, append.fence, append.finality, index, kind, append.frame.encode_to_vec());
        }
        call
    }

    /// Appends nothing but word of a restart where one is due.
    pub(crate) fn restart(keys: &Keys, config: &Config, action: &Action) -> Self {
        let frame = frame_of(action, restarted(action.attempt()));
        let mut call = Self::new(keys, config, frame.tier, Some(&frame));
        call.add(keys, action.task, action.fence(), Finality::Progress, -1, "r", Vec::new());
        call
    }

    #[expect(clippy::too_many_arguments, reason = "they are the arguments of the script, in its order")]
    fn add(
        &mut self,
        keys: &Keys,
        task: TaskId,
        fence: u64,
        finality: Finality,
        index: i64,
        kind: &str,
        body: Vec<u8>,
    ) {
        let key = keys.task(&task);
        let tasks = &self.keys[3..];
        let place = tasks.iter().position(|known| *known == key).unwrap_or(tasks.len());
        if place == tasks.len() {
            self.keys.push(key);
        }
        self.arguments.extend([
            number(place + 1),
            number(task),
            number(fence.min(Append::DECIDED)),
            number(u8::from(finality == Finality::Final)),
            number(index),
            kind.as_bytes().to_vec(),
            body,
        ]);
    }
}

/// What the script answered.
pub(crate) fn answer((verdict, epoch, positions): (String, String, Vec<u64>)) -> Result<Vec<Appended>, Error> {
    match verdict.as_str() {
        "ok" => Ok(positions.into_iter().map(|seq| Appended { epoch: epoch.clone(), seq }).collect()),
        "stale" => Err(Error::Stale),
        "finished" => Err(Error::Finished),
        _ => Err(Error::Malformed("not a verdict")),
    }
}

/// A frame that names its attempt can tell of a restart; a final needs no such word, it has the whole text.
fn restart_before(append: &Append) -> Option<Frame> {
    if append.finality == Finality::Final {
        return None;
    }
    let attempt = match append.frame.body.as_ref()? {
        Body::AgentDelta(delta) if delta.index == 0 => delta.attempt,
        Body::TaskUpdate(update) if update.stage != RESTARTED => update.attempt,
        _ => return None,
    };
    Some(Frame { body: Some(restarted(attempt)), ..append.frame.clone() })
}

fn restarted(attempt: u32) -> Body {
    Body::TaskUpdate(TaskUpdate {
        status: action::Status::Running.into(),
        stage: RESTARTED.to_owned(),
        attempt,
        percentage: -1.0,
        ..TaskUpdate::default()
    })
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
