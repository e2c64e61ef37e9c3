//! How tasks and frames look in a terminal and in JSON.

use std::io::Write as _;

use anyhow::Result;
use proto::action::v1::{Status, TaskEvent};
use proto::task::v1::frame::Body;
use proto::task::v1::{Frame, Task, WatchTaskResponse};
use serde_json::{Value, json};

use crate::contract_json;

/// Prints one line about a task.
pub(super) fn line(task: &Task) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}  {:<10} {:<28} {}", task.task_id, word(task.status), task.action_type, task.queue_name)?;
    Ok(())
}

/// Prints a task with its timeline.
pub(super) fn task(task: &Task, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&task_json(task))?)?;
        return Ok(());
    }
    writeln!(out, "task      {}", task.task_id)?;
    writeln!(out, "action    {} in {}", task.action_type, task.queue_name)?;
    writeln!(out, "status    {} (attempts {})", word(task.status), task.attempts)?;
    if let Some(error) = &task.error {
        writeln!(out, "error     {}: {}", error.reason, error.message)?;
    }
    for event in &task.events {
        writeln!(out, "  {:>9.1} ms  {:<12} {}", offset_ms(task, event), event.name, event.domain)?;
    }
    Ok(())
}

/// Prints one line about a frame; pieces of an answer are printed as they come.
pub(super) fn frame(frame: &Frame) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match &frame.body {
        Some(Body::AgentDelta(delta)) => write!(out, "{}", delta.text)?,
        Some(Body::AgentResponse(_)) => writeln!(out)?,
        Some(Body::TaskUpdate(update)) => {
            writeln!(out, "[{} {} {:.0} %]", word(update.status), update.stage, update.percentage)?;
        }
        Some(Body::Error(error)) => {
            let message = error.error.as_ref().map(|detail| detail.message.as_str()).unwrap_or_default();
            writeln!(out, "[{}: {message}]", word(error.status))?;
        }
        Some(Body::TypingIndicator(_)) | None => {}
    }
    out.flush()?;
    Ok(())
}

/// Prints one message of a watched task as one line of JSON: the task, a frame, or both.
pub(super) fn message(message: &WatchTaskResponse) -> Result<()> {
    let mut line = serde_json::Map::new();
    if let Some(task) = &message.task {
        line.insert("task".to_owned(), task_json(task));
    }
    if let Some(frame) = &message.frame {
        line.insert("frame".to_owned(), contract_json::show(frame)?);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", Value::Object(line))?;
    out.flush()?;
    Ok(())
}

/// Reads the word for a status.
pub(super) fn status(text: &str) -> Result<Status, String> {
    let known = Status::from_str_name(&format!("STATUS_{}", text.to_uppercase()));
    let known = known.filter(|status| *status != Status::Unspecified);
    known.ok_or_else(|| "a status is pending, running, completed, failed, timeout or cancelled".to_owned())
}

/// Returns a task as JSON.
pub(super) fn task_json(task: &Task) -> Value {
    let events: Vec<_> = task
        .events
        .iter()
        .map(|event| json!({ "name": event.name, "domain": event.domain, "offset_ms": offset_ms(task, event) }))
        .collect();
    let error = task.error.as_ref().map(|error| json!({ "reason": error.reason, "message": error.message }));
    json!({
        "task_id": task.task_id, "action_type": task.action_type, "tenant_id": task.tenant_id,
        "session_id": task.session_id, "queue_name": task.queue_name, "status": word(task.status),
        "stage": task.stage, "attempts": task.attempts, "error": error, "events": events,
    })
}

fn word(status: i32) -> String {
    let name = Status::try_from(status).unwrap_or_default().as_str_name();
    name.trim_start_matches("STATUS_").to_lowercase()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a task's life are far below 2^52")]
fn offset_ms(task: &Task, event: &TaskEvent) -> f64 {
    let micros = |time: &prost_types::Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000;
    match (&task.created_at, &event.at) {
        (Some(start), Some(at)) => (micros(at) - micros(start)) as f64 / 1_000.0,
        _ => 0.0,
    }
}
