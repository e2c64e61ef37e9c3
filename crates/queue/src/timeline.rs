//! The steps of a task: as messages, and as the text that the scripts append to.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{Domain, time};
use proto::action::v1::TaskEvent;

/// Makes one step.
pub(crate) fn event(name: &str, at: SystemTime, domain: Domain, attempt: u32) -> TaskEvent {
    let name = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect();
    TaskEvent { name, at: Some(time::to_proto(at)), domain: domain.as_str().to_owned(), attempt }
}

/// Writes steps as the scripts keep them: times in microseconds, fields apart by 0x1f, steps ended by 0x1e.
pub(crate) fn encode(events: &[TaskEvent]) -> Vec<u8> {
    let mut text = String::new();
    for event in events {
        let at = event.at.as_ref().map_or(0, time::to_unix_us);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\x1f{at}\x1f{}\x1f{}\x1e", event.name, event.domain, event.attempt);
    }
    text.into_bytes()
}

/// Reads steps back, in the order of their times; what is not understood is left out.
pub(crate) fn decode(text: &[u8]) -> Vec<TaskEvent> {
    let text = String::from_utf8_lossy(text);
    let mut events: Vec<TaskEvent> = text.split('\x1e').filter_map(decode_one).collect();
    sort(&mut events);
    events
}

/// Puts steps in the order of their times; those of one moment stay as they are.
pub(crate) fn sort(events: &mut [TaskEvent]) {
    events.sort_by_key(|event| event.at.as_ref().map_or(0, time::to_unix_us));
}

fn decode_one(text: &str) -> Option<TaskEvent> {
    let mut fields = text.split('\x1f');
    let (name, at, domain, attempt) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    Some(TaskEvent {
        name: name.to_owned(),
        at: Some(time::from_unix_us(at.parse().ok()?)),
        domain: domain.to_owned(),
        attempt: attempt.parse().ok()?,
    })
}

/// Returns the time that a script means by milliseconds.
pub(crate) fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}
