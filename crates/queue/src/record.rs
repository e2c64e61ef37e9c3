//! Records of tasks: what is read of them, and how they are listed.

use std::collections::HashMap;
use std::sync::Arc;

use action::{Action, Domain, QueueName, Status, TaskId, TenantId, Tier, detail_of, time};
use prost::Message as _;
use prost_types::Any;
use proto::action::v1::{ErrorDetail, TokenUsage};
use proto::task::v1::Task;

use crate::part::Part;
use crate::queue::Inner;
use crate::stored::written;
use crate::{Error, keys, outcome, timeline};

/// Fields of a record that a listing shows.
const SHORT: [&str; 15] = [
    "type",
    "tenant",
    "tier",
    "session",
    "user",
    "agent",
    "context",
    "queue",
    "status",
    "stage",
    "attempts",
    "created_at",
    "started_at",
    "finished_at",
    "why",
];

/// Makes the task of a root action that was just submitted, `at` in microseconds since 1970.
pub(crate) fn fresh(action: &Action, queue: &QueueName, at: u64) -> Task {
    let mut task = Task {
        task_id: action.task.to_string(),
        action_type: action.action_type.clone(),
        tenant_id: action.tenant.to_string(),
        tier: action.tier.to_proto().into(),
        session_id: written(action.session.as_ref()),
        user_id: written(action.user.as_ref()),
        agent_id: written(action.context.primary_agent.as_ref()),
        queue_name: queue.to_string(),
        status: Status::Pending.into(),
        created_at: Some(time::from_unix_ms(at / 1_000)),
        context_id: action.context.id.to_string(),
        ..Task::default()
    };
    if let Ok(domain) = action.domain() {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_micros(at);
        task.events.push(timeline::event("queued", at, domain, 0));
    }
    task
}

/// Finds a task of a tenant. All domains are asked in one round trip.
pub(crate) async fn find(inner: &Inner, tenant: &TenantId, task: TaskId) -> Result<Option<Task>, Error> {
    let id = outcome::record_id(task);
    let mut pipeline = redis::pipe();
    for part in homes(inner, tenant) {
        pipeline.hgetall(key(&part, &id));
    }
    let found: Vec<HashMap<String, Vec<u8>>> = inner.redis.pipeline(&pipeline).await?;
    let known = found.into_iter().find(|fields| !fields.is_empty());
    Ok(known.map(|fields| read(&id, &fields)).filter(|task| task.tenant_id == tenant.as_str()))
}

/// Finds where a tenant's task lies without reading the task.
pub(crate) async fn part_of(inner: &Inner, tenant: &TenantId, task: TaskId) -> Result<Option<Arc<Part>>, Error> {
    let id = outcome::record_id(task);
    let homes = homes(inner, tenant);
    let mut pipeline = redis::pipe();
    for part in &homes {
        pipeline.hget(key(part, &id), "tenant");
    }
    let found: Vec<Option<String>> = inner.redis.pipeline(&pipeline).await?;
    let known = homes.into_iter().zip(found).find(|(_, owner)| owner.as_deref() == Some(tenant.as_str()));
    Ok(known.map(|(part, _)| part))
}

/// Returns every partition that may know a task of the tenant.
fn homes(inner: &Inner, tenant: &TenantId) -> Vec<Arc<Part>> {
    Domain::ALL.into_iter().flat_map(|domain| inner.spreads.of(domain).homes(tenant.as_str())).collect()
}

/// Lists those of a tenant's tasks that are wanted, newest first, without results and timelines.
pub(crate) async fn list(
    inner: &Inner,
    tenant: &TenantId,
    wanted: impl Fn(&Task) -> bool,
    page_size: usize,
    page_token: &str,
) -> Result<(Vec<Task>, String), Error> {
    let size = page_size.clamp(1, 100);
    let mut after = Cursor::read(page_token)?;
    let mut tasks = Vec::with_capacity(size);
    // Many may not be wanted; a bounded number of pages is read for one answer.
    for _ in 0..10 {
        let page = page(inner, tenant, after.as_ref(), size).await?;
        let last = page.len() < size;
        for (cursor, task) in page {
            after = Some(cursor);
            tasks.extend(task.filter(&wanted));
            if tasks.len() == size {
                return Ok((tasks, after.map(|cursor| cursor.write()).unwrap_or_default()));
            }
        }
        if last {
            return Ok((tasks, String::new()));
        }
    }
    Ok((tasks, after.map(|cursor| cursor.write()).unwrap_or_default()))
}

/// Place in a listing: creation and id of the last task that was shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    created: u64,
    id: String,
}

impl Cursor {
    fn read(token: &str) -> Result<Option<Self>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let (created, id) = token.split_once('.').ok_or(Error::PageToken)?;
        keys::read_entry_id(id).ok_or(Error::PageToken)?;
        Ok(Some(Self { created: created.parse().map_err(|_| Error::PageToken)?, id: id.to_owned() }))
    }

    fn write(&self) -> String {
        format!("{}.{}", self.created, self.id)
    }
}

async fn page(
    inner: &Inner,
    tenant: &TenantId,
    after: Option<&Cursor>,
    size: usize,
) -> Result<Vec<(Cursor, Option<Task>)>, Error> {
    let mut pipeline = redis::pipe();
    let homes = homes(inner, tenant);
    for part in &homes {
        let index = format!("{}ti:{tenant}", part.engine.tag());
        // Tasks of the same microsecond are read again and left out by their ids; more than 50 of them do not happen at
        // the pace at which one tenant may submit.
        let most = after.map_or_else(|| "+inf".to_owned(), |after| after.created.to_string());
        let count = isize::try_from(size + 50).unwrap_or(isize::MAX);
        pipeline.zrevrangebyscore_limit_withscores(index, most, "-inf", 0, count);
    }
    let found: Vec<Vec<(String, u64)>> = inner.redis.pipeline(&pipeline).await?;
    let mut all: Vec<(Cursor, &Arc<Part>)> = Vec::new();
    for (part, members) in homes.iter().zip(found) {
        all.extend(members.into_iter().map(|(id, created)| (Cursor { created, id }, part)));
    }
    all.retain(|(cursor, _)| after.is_none_or(|after| cursor < after));
    all.sort_by(|one, other| other.0.cmp(&one.0));
    all.truncate(size);
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for (cursor, part) in &all {
        pipeline.cmd("HMGET").arg(key(part, &cursor.id)).arg(&SHORT);
    }
    let records: Vec<Vec<Option<Vec<u8>>>> = inner.redis.pipeline(&pipeline).await?;
    let tasks = records.into_iter().zip(all).map(|(values, (cursor, _))| {
        let named = SHORT.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        let fields: HashMap<String, Vec<u8>> = named.collect();
        let task = (!fields.is_empty()).then(|| read(&cursor.id, &fields));
        (cursor, task)
    });
    Ok(tasks.collect())
}

fn key(part: &Part, id: &str) -> String {
    format!("{}t:{id}", part.engine.tag())
}

fn read(id: &str, fields: &HashMap<String, Vec<u8>>) -> Task {
    let bytes = |name: &str| fields.get(name).map(Vec::as_slice).unwrap_or_default();
    let text = |name: &str| String::from_utf8_lossy(bytes(name)).into_owned();
    let moment = |name: &str| text(name).parse().ok().map(time::from_unix_ms);
    let status = outcome::status(&text("status"));
    let ended = !matches!(status, Status::Pending | Status::Running | Status::Completed);
    Task {
        task_id: keys::read_entry_id(id).map(|id| id.to_string()).unwrap_or_default(),
        action_type: text("type"),
        tenant_id: text("tenant"),
        tier: text("tier").parse::<Tier>().map_or(0, |tier| tier.to_proto().into()),
        session_id: text("session"),
        user_id: text("user"),
        agent_id: text("agent"),
        queue_name: text("queue"),
        status: status.into(),
        stage: text("stage"),
        attempts: text("attempts").parse().unwrap_or_default(),
        created_at: moment("created_at"),
        started_at: moment("started_at"),
        finished_at: moment("finished_at"),
        result: Some(bytes("result")).filter(|bytes| !bytes.is_empty()).and_then(|bytes| Any::decode(bytes).ok()),
        error: ended.then(|| error(bytes("error"), &text("why"), &text("reason"))),
        tokens_used: Some(bytes("tokens"))
            .filter(|bytes| !bytes.is_empty())
            .and_then(|bytes| TokenUsage::decode(bytes).ok()),
        events: timeline::decode(bytes("events")),
        context_id: text("context"),
    }
}

/// Returns what went wrong: as the worker wrote it, or what a script's word stands for.
fn error(encoded: &[u8], why: &str, reason: &str) -> ErrorDetail {
    let by_script = matches!(why, "poison" | "expired" | "overdue" | "cancelled");
    let written = Some(encoded).filter(|bytes| !bytes.is_empty() && !by_script);
    let written = written.and_then(|bytes| ErrorDetail::decode(bytes).ok());
    written.unwrap_or_else(|| detail_of(&outcome::ending_of(why, reason).1))
}
