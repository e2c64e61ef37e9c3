//! The final outcome of an action on its way to whoever wants it: what lies in the outbox.

use std::time::Duration;

use action::{Action, ActionId, Domain, QueueName, Status, TaskId, catalogue, detail_of, time};
use fault::{Failure, reason};
use prost::Message as _;
use prost_types::Any;
use proto::action::v1::{Callback, DomainAction, ErrorDetail, TaskEvent, TokenUsage};
use uuid::Uuid;

use crate::{Error, keys, stored, timeline};

/// How an action ended, apart from what it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    pub(crate) result: Option<Any>,
    pub(crate) error: Option<ErrorDetail>,
    pub(crate) execution_time: Duration,
    pub(crate) tokens_used: TokenUsage,
    pub(crate) attempts: u32,
    pub(crate) fence: u64,
    pub(crate) events: Vec<TaskEvent>,
}

/// Where an outcome goes, ready to be handed over.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// Into the inbox of a process.
    Inbox { inbox: String, callback: Vec<u8> },
    /// Into the callbacks lane of a domain.
    Callbacks { target: QueueName, action: Box<Action> },
}

/// Makes the message that tells how an action ended.
pub(crate) fn callback(action: &Action, ending: Ending) -> Result<Callback, Error> {
    Ok(Callback {
        action_type: catalogue::callback_of(action.domain()?).to_owned(),
        task_id: action.task.to_string(),
        action_id: action.id.to_string(),
        source_action_type: action.action_type.clone(),
        status: ending.status.into(),
        result: ending.result,
        error: ending.error,
        execution_time: Some(time::duration_to_proto(ending.execution_time)),
        tokens_used: Some(ending.tokens_used),
        attempts: ending.attempts,
        fence: ending.fence,
        events: ending.events,
    })
}

impl Parcel {
    /// Addresses an outcome; none when nobody wants it. What an inbox awaits goes there and nowhere else.
    pub(crate) fn address(action: &Action, callback: &Callback) -> Option<Self> {
        if let Some(inbox) = &action.reply_inbox {
            return Some(Self::Inbox { inbox: inbox.clone(), callback: callback.encode_to_vec() });
        }
        let target = action.callback.clone()?;
        // The same outcome always has the same id, by which the target recognises it. An action that was replayed ends again,
        // under another fence, and that is another outcome.
        let name = [b"cb".as_slice(), &callback.fence.to_be_bytes()].concat();
        let id = ActionId::from(Uuid::new_v5(&Uuid::from(action.id), &name));
        let root_fence = if action.root_fence > 0 { action.root_fence } else { callback.fence };
        let root_attempt = if action.root_attempt > 0 { action.root_attempt } else { callback.attempts.max(1) };
        let action = Action {
            id,
            action_type: callback.action_type.clone(),
            payload: Any { type_url: <Callback as prost::Name>::type_url(), value: callback.encode_to_vec() },
            callback: None,
            root_fence,
            root_attempt,
            delivery: None,
            ..action.clone()
        };
        Some(Self::Callbacks { target, action: Box::new(action) })
    }

    /// Writes it as it lies in the outbox.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (letter, address, content) = match self {
            Self::Inbox { inbox, callback } => (b'I', inbox.clone(), callback.clone()),
            Self::Callbacks { target, action } => (b'C', target.to_string(), action.to_proto().encode_to_vec()),
        };
        [&[letter], address.as_bytes(), &[0], &content].concat()
    }

    /// Reads it from the outbox of a domain; none when nobody wants it or it is not understood.
    pub(crate) fn decode(domain: Domain, id: &str, bytes: &[u8]) -> Option<Self> {
        let (letter, rest) = bytes.split_first()?;
        if *letter == b'L' {
            return ended_by_script(domain, id, rest);
        }
        let end = rest.iter().position(|&byte| byte == 0)?;
        let (address, content) = (std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]);
        match letter {
            b'I' => Some(Self::Inbox { inbox: address.to_owned(), callback: content.to_vec() }),
            b'C' => {
                let action = Action::from_proto(DomainAction::decode(content).ok()?).ok()?;
                Some(Self::Callbacks { target: address.parse().ok()?, action: Box::new(action) })
            }
            _ => None,
        }
    }
}

/// Makes the outcome of an action that a script ended; `entry.lua` says how it is written.
fn ended_by_script(domain: Domain, id: &str, rest: &[u8]) -> Option<Parcel> {
    let end = rest.iter().position(|&byte| byte == 0x1e)?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    let fields: Vec<&str> = text.split('\x1f').collect();
    let [why, attempts, fence, first, ended, reason, events] = fields[..] else { return None };
    let (events, body) = rest[end + 1..].split_at_checked(events.parse().ok()?)?;
    let (_, action, _) = stored::decode(id, body)?;
    let (first, ended): (u64, u64) = (first.parse().ok()?, ended.parse().ok()?);
    let (status, failure) = ending_of(why, reason);
    let mut events = timeline::decode(events);
    if events.is_empty() {
        events.push(timeline::event(why, timeline::at(ended), domain, 0));
    }
    let ending = Ending {
        status,
        error: Some(detail_of(&failure)),
        execution_time: Duration::from_millis(if first > 0 { ended.saturating_sub(first) } else { 0 }),
        attempts: attempts.parse().ok()?,
        fence: fence.parse().ok()?,
        events,
        ..Ending::default()
    };
    let callback = callback(&action, ending).ok()?;
    Parcel::address(&action, &callback)
}

/// Returns what callers are told about an action that a script ended.
pub(crate) fn ending_of(why: &str, reason: &str) -> (Status, Failure) {
    match why {
        "poison" => {
            (Status::Failed, Failure::new(&reason::POISONED, "the work ended its worker repeatedly and was given up"))
        }
        "expired" => (Status::Timeout, Failure::new(&reason::QUEUE_TIMEOUT, "no worker took the work in time")),
        "overdue" => (Status::Timeout, out_of_time()),
        "cancelled" => (Status::Cancelled, cancelled(reason)),
        "malformed" => (Status::Failed, unreadable()),
        _ => (Status::Failed, Failure::internal()),
    }
}

/// Returns what callers are told when the time for the work ran out.
pub(crate) fn out_of_time() -> Failure {
    Failure::new(&reason::EXECUTION_TIMEOUT, "the work did not finish in the time of its tier")
}

/// Returns what callers are told when nobody can read what they sent.
pub(crate) fn unreadable() -> Failure {
    Failure::new(&reason::PAYLOAD_MISMATCH, "the stored action cannot be read")
}

/// Returns what callers are told when the work was cancelled.
pub(crate) fn cancelled(why: &str) -> Failure {
    let detail =
        if why.is_empty() { "the work was cancelled".to_owned() } else { format!("the work was cancelled: {why}") };
    Failure::new(&reason::CANCELLED, detail)
}

/// Returns the word of a status that records hold.
pub(crate) const fn word(status: Status) -> &'static str {
    match status {
        Status::Pending | Status::Unspecified => "pending",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Timeout => "timeout",
        Status::Cancelled => "cancelled",
    }
}

/// Reads the word of a status.
pub(crate) fn status(word: &str) -> Status {
    let all = [Status::Running, Status::Completed, Status::Failed, Status::Timeout, Status::Cancelled];
    all.into_iter().find(|&status| self::word(status) == word).unwrap_or(Status::Pending)
}

/// Returns the key of a task's record: its root action's id.
pub(crate) fn record_id(task: TaskId) -> String {
    keys::entry_id(ActionId::root_of(task))
}
