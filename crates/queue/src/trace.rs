//! Spans around the queue, and the trace that travels in actions. The only file that calls `telemetry` about spans.

use std::time::SystemTime;

use action::{Action, Delivery, QueueName, Trace};
use telemetry::{Origin, Span, SpanKind, Value};

/// Opens the span of putting an action into a queue, as a child of where the caller is, or of the action's own trace.
pub(crate) fn send(action: &Action, queue: &QueueName) -> Span {
    let (parent, _) = telemetry::current();
    let trace = &action.trace;
    let origin = if parent.is_empty() { Origin::remote(&trace.parent, &trace.state) } else { Origin::here() };
    let known = [
        ("messaging.system", Value::Word("nooble")),
        ("messaging.operation.type", Value::Word("send")),
        ("messaging.destination.name", Value::Shown(queue)),
        ("action_type", Value::Shown(&action.action_type)),
        ("task_id", Value::Shown(&action.task)),
        ("action_id", Value::Shown(&action.id)),
    ];
    Span::begin(origin, SpanKind::Producer, "send", format_args!("send {queue}"), &known)
}

/// Returns the trace that an action shall carry when it is sent inside this span.
pub(crate) fn inside(span: &Span) -> Option<Trace> {
    let (parent, state) = span.in_scope(telemetry::current);
    (!parent.is_empty()).then_some(Trace { parent, state })
}

/// Opens the span of handling a delivery, as a child of the action's trace.
pub(crate) fn process(action: &Action, delivery: &Delivery) -> Span {
    let known = [
        ("messaging.system", Value::Word("nooble")),
        ("messaging.operation.type", Value::Word("process")),
        ("messaging.destination.name", Value::Shown(&delivery.queue)),
        ("tenant_id", Value::Shown(&action.tenant)),
        ("task_id", Value::Shown(&action.task)),
        ("action_id", Value::Shown(&action.id)),
        ("attempt", delivery.attempt.into()),
    ];
    let origin = Origin::beyond(&action.trace.parent, &action.trace.state);
    Span::begin(origin, SpanKind::Consumer, "process", format_args!("process {}", action.action_type), &known)
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
    span.record("outcome", Value::Word(outcome));
    if let Some(failure) = failure {
        span.fail(failure.reason().id);
    }
}
