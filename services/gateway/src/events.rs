//! `GET /api/v1/tasks/{id}/events`: what happens to a task, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use action::Domain;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fault::{Failure, Problem};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use http::HeaderMap;
use proto::task::v1::{WatchTaskRequest, WatchTaskResponse};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::edge::{Edge, leaving};
use crate::headers;
use crate::identity::Staying;
use crate::openapi::ProblemView;
use crate::params::wrong;
use crate::places::Seat;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::socket::frames;
use crate::tasks;
use crate::view::TaskView;

/// Silence after which a comment is sent, so that nobody on the way takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// Streams what happens to a task until it ends: `task` first and last, and between them the frames that a WebSocket would
/// show, each with an id from which the stream goes on after a break; `gap` where frames after `Last-Event-ID` are gone. It ends with a `problem` soon after the credential was
/// revoked, and at the end of its time, to be opened again with another one.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/events", tag = "tasks", operation_id = "watchTask",
    params(
        ("id" = String, Path, description = "The task's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was seen, `epoch:seq`"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = "default", response = ProblemView),
    ),
)]
pub(crate) async fn watch(
    State(edge): State<Edge>,
    Staying(standing): Staying,
    Segment(id): Segment,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let task_id = tasks::parse(&id)?.to_string();
    let (epoch, after) = position(&headers)?;
    let place = edge.watches.seat(&standing.caller().tenant()?.0).map_err(|full| full.of("streams of events"))?;
    let request = WatchTaskRequest { task_id, epoch, after };
    let told = edge.peers.tasks(Domain::Orchestrator, standing.caller()).watch_task(request).await?.into_inner();
    let told = service_kit::identity::while_proved(standing, edge.proof, told.boxed());
    let events = events((told, place), edge.draining.clone());
    Ok(Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Reads where a client left off.
fn position(headers: &HeaderMap) -> Result<(String, u64), Failure> {
    let Some(text) = headers::text(headers, LAST_EVENT_ID)? else { return Ok((String::new(), 0)) };
    let position = text.rsplit_once(':').and_then(|(epoch, seq)| Some((epoch.to_owned(), seq.parse().ok()?)));
    position.filter(|(epoch, _)| !epoch.is_empty()).ok_or_else(|| wrong(LAST_EVENT_ID, "must be the id of an event"))
}

/// A stream of what is told, and its place.
type Told = (BoxStream<'static, Result<WatchTaskResponse, Status>>, Seat);

fn events(told: Told, draining: CancellationToken) -> impl Stream<Item = Event> + Send {
    stream::unfold(Some((told, draining)), |told| async move {
        let ((mut told, place), draining) = told?;
        loop {
            let next = tokio::select! {
                biased;
                next = told.next() => next?,
                // Its client goes on elsewhere from the last id that it saw.
                () = draining.cancelled() => return Some((refused(&leaving()), None)),
            };
            match next {
                Ok(told_now) => {
                    if let Some(event) = event(told_now) {
                        return Some((event, Some(((told, place), draining))));
                    }
                }
                Err(status) => return Some((refused(&Failure::from_status(&status)), None)),
            }
        }
    })
}

fn event(told: WatchTaskResponse) -> Option<Event> {
    if let Some(task) = told.task {
        let data = serde_json::to_string(&TaskView::from(task)).ok()?;
        return Some(Event::default().event("task").data(data));
    }
    if let Some(gap) = told.gap {
        let (missed, id) = ((gap.missed_from, gap.missed_to), format!("{}:{}", gap.epoch, gap.after));
        let data = frames::gap_data(missed, &gap.reason, (&gap.epoch, gap.after));
        return Some(Event::default().event("gap").id(id).data(data.to_string()));
    }
    let envelope = frames::render(told.frame?)?;
    let event = Event::default().event(envelope.kind()).data(envelope.to_json());
    Some(match envelope.position() {
        Some(position) => event.id(position),
        None => event,
    })
}

fn refused(failure: &Failure) -> Event {
    let problem = serde_json::to_string(&Problem::of(failure)).unwrap_or_default();
    Event::default().event("problem").data(problem)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::position;

    fn read(text: &str) -> Option<(String, u64)> {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", text.parse().expect("a header"));
        position(&headers).ok()
    }

    #[test]
    fn a_position_is_an_epoch_and_a_number() {
        assert_eq!(position(&HeaderMap::new()).expect("from the beginning"), (String::new(), 0));
        assert_eq!(read("e9:41"), Some(("e9".to_owned(), 41)));
        assert_eq!(read("a:b:7"), Some(("a:b".to_owned(), 7)));
        for wrong in ["41", ":41", "e9:", "e9:-1", "e9:x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
