//! One trace from the HTTP request to the push.

use std::time::Instant;

use e2e::{Client, Nooble};
use testkit::otlp::{Collector, Span, Tree};

use crate::{PATIENCE, QUESTION, WORDS};

#[tokio::test]
async fn one_trace_leads_from_the_http_request_to_the_push_and_shows_the_wait_in_the_queue() {
    let collector = Collector::start().await;
    let redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let endpoint = collector.endpoint().to_owned();
    let common = [WORDS, ("REDIS_URL", url.as_str()), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let front = Nooble::up(folder.path(), &["--demo", "--without-worker", "execution"], &common).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    socket.until("connection_ack", PATIENCE).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let response = client.message("session-1", QUESTION).header("traceparent", traceparent).send().await;
    let accepted = Instant::now();
    assert!(response.expect("the edge answers").status().is_success());

    // Nobody claims runs until this worker is there: that is the wait that the trace must show.
    let imposed = accepted.elapsed();
    let worker = front.beside(folder.path(), &["execution", "--part", "worker"], &common).await;
    socket.until("agent_response", PATIENCE).await;
    let all = accepted.elapsed();

    // Spans of several processes arrive in batches.
    let push = "push agent_response";
    collector.wait_for(|spans| spans.iter().any(|span| span.name == push && span.trace_id == trace_id)).await;
    let edge = "POST /api/chat/send";
    collector.wait_for(|spans| spans.iter().any(|span| span.name == edge && span.trace_id == trace_id)).await;
    collector.wait_for(|spans| spans.iter().any(|span| span.name == "process execution.agent_run")).await;
    let spans = collector.spans();
    let request = spans.iter().find(|span| span.name == edge && span.trace_id == trace_id).expect("it came");
    assert_eq!((request.attribute("client.address"), request.attribute("url.scheme")), ("127.0.0.1", "http"));
    let tree = collector.trace(trace_id);
    let names: Vec<_> = tree.spans.iter().map(|span| span.name.as_str()).collect();
    named_parents(&tree);
    for name in [edge, push] {
        assert!(
            tree.path(name).first().is_some_and(|root| *root == edge),
            "`{name}` is not below the request: {names:#?}"
        );
    }
    let queue = format!("execution:agent-{}:enterprise", client.fact("agent_id"));
    let in_queue = |span: &&Span| span.name == "queue wait" && span.attribute("messaging.destination.name") == queue;
    let wait = tree.spans.iter().rfind(in_queue);
    let wait = wait.unwrap_or_else(|| panic!("no wait in {queue}: {names:#?}"));
    assert!(
        wait.duration() >= imposed && wait.duration() <= all,
        "{:?} is not between {imposed:?} and {all:?}",
        wait.duration()
    );
    worker.kill().await;
    front.kill().await;
}

/// Every handled action is below the span that sent it.
fn named_parents(tree: &Tree) {
    let names: Vec<_> = tree.spans.iter().map(|span| span.name.as_str()).collect();
    for (child, parent) in [
        ("process execution.agent_run", "send execution:"),
        ("process query.generate", "send query:"),
        ("process embedding.generate", "send embedding:"),
        ("process execution.callback", "send orchestrator:"),
    ] {
        let span = tree.find(child).unwrap_or_else(|| panic!("no span `{child}` in {names:#?}"));
        let above = tree.parent(span).map(|span| span.name.clone()).unwrap_or_default();
        assert!(above.starts_with(parent), "`{child}` is below `{above}`, not `{parent}…`");
    }
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_process_has_ended() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint().to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [WORDS, ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("DRAIN_GRACE", "2s")];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4737";
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let response = client.message("session-1", QUESTION).header("traceparent", traceparent).send().await;
    assert!(response.expect("the edge answers").status().is_success());
    assert_eq!(nooble.stop(PATIENCE).await, Some(0));
    let tree = collector.trace(trace_id);
    assert!(tree.find("POST /api/chat/send").is_some(), "{tree:#?}");
}
