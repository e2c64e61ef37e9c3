//! `SubmitAction`: an action from outside, checked before the queue sees it.

use std::time::{Duration, SystemTime};

use action::{Action, Deadline, TaskId};
use fault::{Failure, Fault as _, reason};
use proto::action::v1::DomainAction;
use proto::queue::v1 as wire;
use queue::{Options, Retry, When};
use tonic::Status;

use super::{QueueFacade, field};

/// How long an idempotency key is remembered unless asked otherwise, and at most.
const KEY: Duration = Duration::from_hours(24);
const LONGEST_KEY: Duration = Duration::from_hours(7 * 24);

/// Most characters of an idempotency key.
const KEY_LENGTH: usize = 200;

/// Most attempts that a caller may ask for.
const MOST_ATTEMPTS: u32 = 100;

impl QueueFacade {
    pub(super) async fn submit(&self, asked: wire::SubmitActionRequest) -> Result<wire::SubmitActionResponse, Status> {
        let now = SystemTime::now();
        let options = options(&asked, now)?;
        let action = read(asked.action.ok_or_else(|| field::missing("action"))?, now)?;
        let submitted = self.queue.submit_with(action, &options).await?;
        Ok(wire::SubmitActionResponse {
            task: Some(submitted.task),
            action_id: submitted.action_id.to_string(),
            queue_name: submitted.queue_name.to_string(),
            position: submitted.position,
            known: submitted.known,
        })
    }
}

/// Reads an action of a caller who knows nothing of ids, fences and inboxes.
pub(super) fn read(mut wire: DomainAction, now: SystemTime) -> Result<Action, Failure> {
    let reserved = [
        ("reply_inbox", !wire.reply_inbox.is_empty()),
        ("queue", wire.queue.is_some()),
        ("root_fence", wire.root_fence != 0),
        ("root_attempt", wire.root_attempt != 0),
    ];
    if let Some((field, _)) = reserved.into_iter().find(|(_, set)| *set) {
        return Err(field::invalid(field, format!("`{field}` is set by the queue and must be empty")));
    }
    complete(&mut wire)?;
    let deadline = within(wire.deadline, now)?;
    let action = Action::from_proto(wire).map_err(|error| error.failure())?;
    if action.is_callback() {
        let text = "callbacks tell how an action ended and are sent by the queue alone";
        return Err(Failure::new(&reason::UNKNOWN_ACTION_TYPE, text).field("action_type"));
    }
    Ok(Action { deadline, ..action })
}

/// Makes the ids that are missing. One that is missing is the other one: it is the root action of its task then.
fn complete(wire: &mut DomainAction) -> Result<(), Failure> {
    match (wire.action_id.is_empty(), wire.task_id.is_empty()) {
        (true, true) => {
            wire.task_id = TaskId::new().to_string();
            wire.action_id.clone_from(&wire.task_id);
        }
        (true, false) => {
            // Read here, so that the id that was sent is the one that is refused.
            wire.task_id.parse::<TaskId>().map_err(|error| error.failure())?;
            wire.action_id.clone_from(&wire.task_id);
        }
        (false, true) => wire.task_id.clone_from(&wire.action_id),
        (false, false) => {}
    }
    Ok(())
}

fn within(deadline: Option<prost_types::Timestamp>, now: SystemTime) -> Result<Deadline, Failure> {
    let Some(deadline) = field::moment("deadline", deadline)? else { return Ok(Deadline::Tier) };
    match deadline.duration_since(now) {
        Ok(left) if left > field::LONGEST => Err(field::invalid("deadline", "`deadline` is at most 366 days ahead")),
        Ok(left) if left >= field::SHORTEST => Ok(Deadline::Within(left)),
        _ => Err(Failure::new(&reason::DEADLINE_EXCEEDED, "the action's deadline is over already").field("deadline")),
    }
}

/// Reads how the action is submitted.
pub(super) fn options(asked: &wire::SubmitActionRequest, now: SystemTime) -> Result<Options, Failure> {
    Ok(Options {
        when: when(asked, now)?,
        idempotency: idempotency(asked)?,
        retry: retry(asked.retry.as_ref())?,
        time_to_live: field::span("time_to_live", asked.time_to_live, field::LONGEST)?,
        budget: field::span("budget", asked.budget, field::LONGEST)?,
        ordered: asked.ordered,
    })
}

fn when(asked: &wire::SubmitActionRequest, now: SystemTime) -> Result<When, Failure> {
    let delay = field::duration("delay", asked.delay)?;
    let at = field::moment("at", asked.at)?;
    match (delay, at) {
        (Some(_), Some(_)) => Err(field::invalid("at", "say `delay` or `at`, not both")),
        (Some(delay), None) if delay > field::LONGEST => Err(field::invalid("delay", "`delay` is at most 366 days")),
        (None, Some(at)) if at.duration_since(now).is_ok_and(|ahead| ahead > field::LONGEST) => {
            Err(field::invalid("at", "`at` is at most 366 days ahead"))
        }
        (Some(delay), None) => Ok(When::After(delay)),
        (None, Some(at)) => Ok(When::At(at)),
        (None, None) => Ok(When::Now),
    }
}

fn idempotency(asked: &wire::SubmitActionRequest) -> Result<Option<(String, Duration)>, Failure> {
    let ttl = field::span("idempotency_ttl", asked.idempotency_ttl, LONGEST_KEY)?;
    let key = &asked.idempotency_key;
    if key.is_empty() {
        return match ttl {
            Some(_) => Err(field::invalid("idempotency_ttl", "there is no `idempotency_key` to remember")),
            None => Ok(None),
        };
    }
    if key.len() > KEY_LENGTH || !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(field::invalid("idempotency_key", "`idempotency_key` is 1 to 200 printable ASCII characters"));
    }
    Ok(Some((key.clone(), ttl.unwrap_or(KEY))))
}

fn retry(asked: Option<&wire::RetryPolicy>) -> Result<Retry, Failure> {
    let Some(asked) = asked else { return Ok(Retry::default()) };
    if asked.max_attempts > MOST_ATTEMPTS {
        return Err(field::invalid("max_attempts", "`max_attempts` is 1 to 100"));
    }
    let base = field::span("base", asked.base, field::LONGEST)?;
    let cap = field::span("cap", asked.cap, field::LONGEST)?;
    if base.zip(cap).is_some_and(|(base, cap)| base > cap) {
        return Err(field::invalid("cap", "`cap` must not be shorter than `base`"));
    }
    Ok(Retry { max_attempts: Some(asked.max_attempts).filter(|attempts| *attempts > 0), base, cap })
}
