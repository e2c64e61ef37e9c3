//! Actions as they lie in Redis: nothing twice that the header says, ids as 16 bytes.

use std::time::{Duration, SystemTime};

use action::{
    Action, ActionId, ContextId, CorrelationId, Deadline, Delivery, Domain, ExecutionContext, QueueName, TaskId, Trace,
    catalogue,
};
use prost::Message as _;
use prost_types::Any;
use proto::action::v1::TraceContext;
use proto::queue::v1::StoredAction;

use crate::engine::{Entry, Header, Lane, Root};
use crate::error::MAX_ENVELOPE;
use crate::options::{Options, Retry, When};
use crate::{Config, Error, MAX_PAYLOAD, keys};

/// How long a callback that was handled is still recognised, so that handing it over twice does not show it twice.
const CALLBACK_MEMORY: Duration = Duration::from_hours(1);

/// Makes the entry of an action for its own queue.
pub(crate) fn entry_of(action: &Action, options: &Options, config: &Config) -> Result<Entry, Error> {
    options.check()?;
    let lane = Lane::Tier(action.tier);
    let root = action.is_root().then(|| Root {
        kind: action.action_type.clone(),
        session: written(action.session.as_ref()),
        user: written(action.user.as_ref()),
        agent: written(action.context.primary_agent.as_ref()),
    });
    let budget = options.budget.unwrap_or_else(|| config.budget(action.tier));
    let patience = options.time_to_live.unwrap_or(budget * config.patience);
    let within = match action.deadline {
        Deadline::Tier => None,
        Deadline::Within(time) => Some(time),
    };
    let entry = Entry {
        id: keys::entry_id(action.id),
        tenant: action.tenant.to_string(),
        tier: action.tier,
        middle: action.context.id.to_string(),
        lane,
        patience: Some(patience),
        within,
        budget: Some(budget),
        max_attempts: options.retry.max_attempts.unwrap_or(config.max_attempts),
        max_crashes: config.max_crashes,
        root,
        outcome: action.callback.is_some() || action.reply_inbox.is_some(),
        dedup: None,
        delay: match options.when {
            When::Now => None,
            When::After(delay) => Some(delay),
            // The queue asks Redis for the time before it comes here; only a look at whether an action fits does not.
            When::At(moment) => moment.duration_since(SystemTime::now()).ok(),
        }
        .filter(|delay| !delay.is_zero()),
        key: options.idempotency.clone(),
        ordered: options.ordered,
        payload: encode(action, lane, options.retry)?,
    };
    entry.check()?;
    Ok(entry)
}

/// Writes what may be absent.
pub(crate) fn written(id: Option<&impl ToString>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

/// Makes the entry of a callback for the callbacks lane of its target. It waits for ever and has no budget: an outcome is
/// not dropped because nobody had time for it.
pub(crate) fn callback_entry(action: &Action, config: &Config) -> Result<Entry, Error> {
    let entry = Entry {
        id: keys::entry_id(action.id),
        tenant: action.tenant.to_string(),
        tier: action.tier,
        middle: action.tenant.to_string(),
        lane: Lane::Callbacks,
        patience: None,
        within: None,
        budget: None,
        max_attempts: config.max_attempts,
        max_crashes: config.max_crashes,
        root: None,
        outcome: false,
        dedup: Some(CALLBACK_MEMORY),
        delay: None,
        key: None,
        ordered: false,
        payload: encode(action, Lane::Callbacks, Retry::default())?,
    };
    entry.check()?;
    Ok(entry)
}

fn encode(action: &Action, lane: Lane, retry: Retry) -> Result<Vec<u8>, Error> {
    let mut context = action.context.to_proto();
    if lane != Lane::Callbacks {
        context.context_id.clear();
    }
    let known = known_type(&action.action_type).is_some_and(|url| url == action.payload.type_url);
    let trace = (!action.trace.parent.is_empty())
        .then(|| TraceContext { traceparent: action.trace.parent.clone(), tracestate: action.trace.state.clone() });
    let stored = StoredAction {
        // The id stands in the key, and a root action has that of its task.
        task_id: if action.is_root() { Vec::new() } else { action.task.as_bytes().to_vec() },
        action_type: action.action_type.clone(),
        correlation_id: action.correlation.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        session_id: action.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        user_id: action.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        context: Some(context),
        payload: action.payload.value.clone(),
        foreign_type_url: if known { String::new() } else { action.payload.type_url.clone() },
        metadata: action.metadata.clone().into_iter().collect(),
        callback_queue: action.callback.as_ref().map(ToString::to_string).unwrap_or_default(),
        reply_inbox: action.reply_inbox.clone().unwrap_or_default(),
        trace,
        root_fence: action.root_fence,
        root_attempt: action.root_attempt,
        retry_base_ms: retry.base.map_or(0, ms),
        retry_cap_ms: retry.cap.map_or(0, ms),
    };
    // A callback carries a result of ours and everything that was said about it; the limit is for what callers send.
    let (size, whole) = (stored.payload.len(), stored.encoded_len());
    if lane != Lane::Callbacks && (size > MAX_PAYLOAD || whole - size > MAX_ENVELOPE) {
        return Err(Error::PayloadTooLarge { size: whole });
    }
    Ok(stored.encode_to_vec())
}

/// Returns the type of the payload that an action type takes.
fn known_type(action_type: &str) -> Option<String> {
    if let Some(entry) = catalogue::find(action_type) {
        return Some(entry.payload);
    }
    let is_callback = Domain::ALL.into_iter().any(|domain| catalogue::callback_of(domain) == action_type);
    is_callback.then(<proto::action::v1::Callback as prost::Name>::type_url)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Reads a body back, given the id in its key; none when it is not one of ours.
pub(crate) fn decode(id: &str, body: &[u8]) -> Option<(Header, Action, Retry)> {
    let id = keys::read_entry_id(id)?;
    let (header, payload) = Header::split(body)?;
    let stored = StoredAction::decode(payload).ok()?;
    let time = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
    let retry = Retry { max_attempts: None, base: time(stored.retry_base_ms), cap: time(stored.retry_cap_ms) };
    let action = rebuild(id, &header, stored).ok()?;
    Some((header, action, retry))
}

fn rebuild(id: ActionId, header: &Header, stored: StoredAction) -> Result<Action, action::Error> {
    let mut context = stored.context.unwrap_or_default();
    if let Lane::Tier(_) = header.lane {
        context.context_id.clone_from(&header.middle);
    }
    let type_url = if stored.foreign_type_url.is_empty() {
        known_type(&stored.action_type).unwrap_or_default()
    } else {
        stored.foreign_type_url
    };
    let trace = stored.trace.unwrap_or_default();
    let read = |bytes: &[u8]| if bytes.is_empty() { Ok(None) } else { CorrelationId::from_slice(bytes).map(Some) };
    Ok(Action {
        id,
        action_type: stored.action_type,
        task: if stored.task_id.is_empty() { id.task() } else { TaskId::from_slice(&stored.task_id)? },
        correlation: read(&stored.correlation_id)?,
        tenant: header.tenant.parse()?,
        tier: header.tier,
        session: optional(&stored.session_id)?,
        user: optional(&stored.user_id)?,
        context: ExecutionContext::from_proto(context)?,
        payload: Any { type_url, value: stored.payload },
        metadata: stored.metadata.into_iter().collect(),
        callback: optional(&stored.callback_queue)?,
        reply_inbox: Some(stored.reply_inbox).filter(|inbox| !inbox.is_empty()),
        deadline: Deadline::Tier,
        trace: Trace { parent: trace.traceparent, state: trace.tracestate },
        root_fence: stored.root_fence,
        root_attempt: stored.root_attempt,
        delivery: None,
    })
}

fn optional<T: std::str::FromStr<Err = action::Error>>(text: &str) -> Result<Option<T>, action::Error> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

/// Names the queue that an entry with this header lies in.
pub(crate) fn queue_of(domain: Domain, header: &Header) -> Option<QueueName> {
    match header.lane {
        Lane::Tier(tier) => Some(QueueName::actions(domain, header.middle.parse::<ContextId>().ok()?, tier)),
        Lane::Callbacks => Some(QueueName::callbacks(domain, header.middle.parse().ok()?)),
    }
}

/// Makes what the queue tells the handler about a delivery.
pub(crate) fn delivery(
    domain: Domain,
    header: &Header,
    leased: &crate::engine::Leased,
    now: u64,
    limit: Duration,
) -> Option<Delivery> {
    let at = |us: u64| std::time::UNIX_EPOCH + Duration::from_micros(us);
    // A token is the moment of the claim in microseconds, unless the clock was set back or tests own it.
    let claimed = if leased.token / 1000 == now { leased.token } else { now * 1000 };
    Some(Delivery {
        queue: queue_of(domain, header)?,
        enqueued_at: at(header.enqueued),
        claimed_at: at(claimed),
        attempt: leased.attempt,
        fence: leased.token,
        remaining: limit,
    })
}
