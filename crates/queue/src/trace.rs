//! Spans around the queue, and the trace that travels in actions. The only file that calls `telemetry` about spans.

use std::time::SystemTime;

use action::{Action, Delivery, QueueName, Trace};
use telemetry::{Origin, SpanKind};
use tracing::Span;

/// Opens the span of putting an action into a queue, as a child of where the caller is, or of the action's own trace.
pub(crate) fn send(action: &Action, queue: &QueueName) -> Span {
    let (parent, _) = telemetry::current();
    let trace = &action.trace;
    let origin = if parent.is_empty() { Origin::remote(&trace.parent, &trace.state) } else { Origin::here() };
    telemetry::span!(
        origin,
        "send",
        otel.name = %format!("send {queue}"),
        otel.kind = "producer",
        messaging.system = "nooble",
        messaging.operation.type = "send",
        messaging.destination.name = %queue,
        action_type = %action.action_type,
        task_id = %action.task,
        action_id = %action.id,
    )
}

/// Returns the trace that an action shall carry when it is sent inside this span.
pub(crate) fn inside(span: &Span) -> Option<Trace> {
    let (parent, state) = span.in_scope(telemetry::current);
    (!parent.is_empty()).then_some(Trace { parent, state })
}

/// Opens the span of handling a delivery, as a child of the action's trace.
pub(crate) fn process(action: &Action, delivery: &Delivery) -> Span {
    telemetry::span!(
        Origin::remote(&action.trace.parent, &action.trace.state),
        parent: None,
        "process",
        otel.name = %format!("process {}", action.action_type),
        otel.kind = "consumer",
        messaging.system = "nooble",
        messaging.operation.type = "process",
        messaging.destination.name = %delivery.queue,
        tenant_id = %action.tenant,
        task_id = %action.task,
        action_id = %action.id,
        attempt = delivery.attempt,
        outcome = tracing::field::Empty,
    )
}

/// Records the time that an action waited, from becoming visible to its claim.
pub(crate) fn waited(action: &Action, delivery: &Delivery) {
    let (start, end): (SystemTime, SystemTime) = (delivery.enqueued_at, delivery.claimed_at);
    telemetry::record_past(
        "queue wait",
        SpanKind::Internal,
        (&action.trace.parent, &action.trace.state),
        start,
        end,
        &[
            ("messaging.destination.name", delivery.queue.to_string()),
            ("task_id", action.task.to_string()),
            ("action_id", action.id.to_string()),
        ],
    );
}

/// Marks the span of a delivery that did not succeed.
pub(crate) fn ended(span: &Span, outcome: &'static str, failure: Option<&fault::Failure>) {
    span.record("outcome", outcome);
    if let Some(failure) = failure {
        telemetry::mark_failed(span, failure.reason().id);
    }
}
