//! `WatchTask`: the task, what its log tells about it, and the task again when it has ended.

use std::future::ready;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use action::{SessionId, TaskId, TenantId};
use futures::stream::{self, BoxStream, StreamExt as _};
use proto::task::v1::frame::Body;
use proto::task::v1::{Frame, Task, WatchGap, WatchTaskResponse};
use queue::Queue;
use session::{Event, Gap, Log, Sessions, Start};
use tokio::time::{Instant, Interval};
use tonic::Status;

/// How often the task itself is looked at: its log may have lost the final frame, its record has not.
const LOOK: Duration = Duration::from_secs(2);

/// Time for the final frame to follow the record of a task that has ended: it comes through the callback queue.
const LAG: Duration = Duration::from_secs(5);

type Answers = BoxStream<'static, Result<WatchTaskResponse, Status>>;

/// Makes the stream. A log without the task's final frame ends the stream all the same, soon after the task has ended.
pub(super) async fn stream(
    queue: Queue,
    sessions: &Sessions,
    tenant: &TenantId,
    task: &Task,
    from: Start,
) -> Result<Answers, Status> {
    let id: TaskId = task.task_id.parse()?;
    let log = if task.session_id.is_empty() {
        Log::task(tenant, id)
    } else {
        Log::session(tenant, &task.session_id.parse::<SessionId>()?)
    };
    let ended = super::has_ended(task);
    // Asked before the log is followed: what is in it by then is told, or was before `from`, when the log has been caught up with.
    let is_told = ended && sessions.has_final(&log, id).await?;
    let first = WatchTaskResponse { task: Some(task.clone()), ..WatchTaskResponse::default() };
    // Who names no position knows of nothing that could be missing, until it has seen something.
    let mut knows = matches!(from, Start::After(_));
    let is_told_of = move |event: &Result<Event, _>| {
        knows |= matches!(event, Ok(Event::Frame(_) | Event::Resumed { .. }));
        ready(knows || !matches!(event, Ok(Event::Gap(_))))
    };
    let watch = Watch {
        events: sessions.follow(log, from).filter(is_told_of).boxed(),
        ended: ended.then(|| ended_at(task)),
        is_told,
        clock: tokio::time::interval(LOOK),
        caught_up: false,
        over: false,
        tenant: tenant.clone(),
        queue,
        id,
    };
    let rest = stream::unfold(watch, |mut watch| async move {
        let answer = watch.next().await?;
        Some((answer, watch))
    });
    Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
}

struct Watch {
    queue: Queue,
    tenant: TenantId,
    id: TaskId,
    events: BoxStream<'static, Result<Event, session::Error>>,
    clock: Interval,
    /// When the task ended, as far as is known.
    ended: Option<Instant>,
    /// Whether the task's final frame was in the log at the start.
    is_told: bool,
    /// Whether everything that was in the log at the start has been told.
    caught_up: bool,
    /// Whether the last message is the only one left, or none is.
    over: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<WatchTaskResponse, Status>> {
        if self.over {
            return None;
        }
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Ok(Event::Frame(frame))) if frame.task_id == self.id.to_string() => {
                        if is_final(&frame) {
                            // The next message is the task as it ended.
                            self.events = stream::empty().boxed();
                        }
                        return Some(Ok(WatchTaskResponse { frame: Some(frame), ..WatchTaskResponse::default() }));
                    }
                    Some(Ok(Event::Resumed { .. })) => self.caught_up = true,
                    Some(Ok(Event::Gap(gap))) => {
                        return Some(Ok(WatchTaskResponse { gap: Some(wire_of(gap)), ..WatchTaskResponse::default() }));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        self.over = true;
                        return Some(Err(error.into()));
                    }
                    None => return self.last().await,
                },
                _ = self.clock.tick() => {
                    if let Err(status) = self.look().await {
                        self.over = true;
                        return Some(Err(status));
                    }
                }
            }
            let is_over = self.is_told || self.ended.is_some_and(|ended| ended.elapsed() >= LAG);
            if self.caught_up && is_over {
                return self.last().await;
            }
        }
    }

    async fn look(&mut self) -> Result<(), Status> {
        let task = self.task().await?;
        if super::has_ended(&task) && self.ended.is_none() {
            self.ended = Some(Instant::now());
        }
        Ok(())
    }

    async fn task(&mut self) -> Result<Task, Status> {
        Ok(self.queue.task(&self.tenant, self.id).await?.ok_or_else(super::not_found)?)
    }

    async fn last(&mut self) -> Option<Result<WatchTaskResponse, Status>> {
        self.over = true;
        let task = self.task().await;
        Some(task.map(|task| WatchTaskResponse { task: Some(task), ..WatchTaskResponse::default() }))
    }
}

fn wire_of(gap: Gap) -> WatchGap {
    let Gap { missed, reason, epoch, after } = gap;
    let (missed_from, missed_to) = missed.map_or((0, 0), RangeInclusive::into_inner);
    WatchGap { missed_from, missed_to, reason: reason.as_str().to_owned(), epoch, after }
}

/// Returns when a task that has ended did so, on the clock of this process.
fn ended_at(task: &Task) -> Instant {
    let finished = task.finished_at.map_or_else(SystemTime::now, action::time::from_proto);
    let ago = SystemTime::now().duration_since(finished).unwrap_or_default();
    Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
}

/// Nothing follows such a frame for its task.
fn is_final(frame: &Frame) -> bool {
    match &frame.body {
        Some(Body::AgentResponse(_) | Body::Error(_)) => true,
        Some(Body::TaskUpdate(update)) => super::is_final(update.status),
        Some(Body::AgentDelta(_) | Body::TypingIndicator(_)) | None => false,
    }
}
