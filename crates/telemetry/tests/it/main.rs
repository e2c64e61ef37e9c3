//! One start of telemetry in this process, exporting to a collector in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telemetry::{Config, Error, Instrument as _, LogFormat, Origin, Span, SpanKind, metric};
use testkit::otlp::{self, Collector};

const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// One test, because telemetry starts once per process. The collector answers while this thread waits for the spans to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_with_their_parents_and_times_and_metrics_are_rendered() {
    before_the_start();
    let collector = Collector::start().await;
    for wrong in wrong_configs() {
        assert!(telemetry::init(wrong).is_err(), "a failed start can be repeated");
    }
    let config = Config {
        service: "nooble-test".to_owned(),
        log_level: "error".to_owned(),
        log_format: LogFormat::Json,
        otlp_endpoint: Some(collector.endpoint().to_owned()),
        otlp_headers: "x-key=a%20key".parse().expect("a header"),
        sample_ratio: 1.0,
    };
    let guard = telemetry::init(config.clone()).expect("the first start succeeds");
    assert!(matches!(telemetry::init(config), Err(Error::AlreadyStarted)));

    let carried = a_request().await;
    let (start, end) = the_wait(&carried);
    the_work(&carried);
    let sampled_out = "00-33333333333333333333333333333333-4444444444444444-00";
    internal(Origin::remote(sampled_out, ""), "not sampled").in_scope(|| {
        assert!(!telemetry::is_recorded());
        let _below = internal(Origin::here(), "not sampled either").enter();
    });
    telemetry::record_past("not sampled", SpanKind::Internal, (sampled_out, ""), start, end, &[]);

    guard.flush();
    let spans = collector.wait_for(|spans| spans.len() >= 4).await;
    assert_eq!(spans.len(), 4, "what was sampled out upstream is not exported");
    assert_eq!(collector.header("x-key"), "a key");
    let tree = collector.trace("0af7651916cd43dd8448eb211c80319c");
    assert_eq!(tree.path("process query.search"), ["POST /api/chat/send", "send", "process query.search"]);
    let request = tree.find("POST /api/chat/send").expect("the request's span");
    assert_eq!((request.parent_id.as_str(), request.kind), ("b7ad6b7169203331", otlp::SpanKind::Server));
    assert_eq!((request.service.as_str(), request.attribute("task_id")), ("nooble-test", "t-1"));
    let wait = tree.find("queue wait").expect("the wait's span");
    assert_eq!((wait.start, wait.end, wait.kind), (start, end, otlp::SpanKind::Consumer));
    assert_eq!((tree.parent(wait).map(|span| span.name.as_str()), wait.attribute("domain")), (Some("send"), "query"));
    let work = tree.find("process query.search").expect("the work's span");
    assert!(work.failed);
    assert_eq!(work.attribute("outcome"), "failed");
    assert_eq!(work.events, ["it did not answer"], "warnings stand in the trace whatever the log shows");

    metrics();
    drop(collector);
    let began = std::time::Instant::now();
    guard.shutdown();
    assert!(began.elapsed() < Duration::from_secs(10), "a collector that is gone does not hold up the end");
}

fn before_the_start() {
    let span = internal(Origin::remote(REMOTE, ""), "nothing");
    assert_eq!(span.in_scope(telemetry::current), (String::new(), String::new()));
    assert_eq!(span.trace_id(), None);
    telemetry::record_past("nothing", SpanKind::Internal, (REMOTE, ""), UNIX_EPOCH, SystemTime::now(), &[]);
    metric::queue::enqueued("query", "free");
    assert_eq!(metric::render(), "");
}

fn wrong_configs() -> [Config; 5] {
    [
        Config { log_level: "info,queue=loud".to_owned(), ..Config::default() },
        Config { sample_ratio: 1.5, ..Config::default() },
        Config { otlp_endpoint: Some("not an address".to_owned()), ..Config::default() },
        Config { otlp_endpoint: Some("127.0.0.1:4317".to_owned()), ..Config::default() },
        Config { otlp_endpoint: Some("https://127.0.0.1:4317".to_owned()), ..Config::default() },
    ]
}

/// A request that came with a trace and sends something on; returns what it sends along.
async fn a_request() -> (String, String) {
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", REMOTE.parse().expect("a header"));
    headers.append("tracestate", "a=1".parse().expect("a header"));
    headers.append("tracestate", "b=2".parse().expect("a header"));
    let (parent, state) = telemetry::propagate::extract(&headers);
    let known = [("task_id", "t-1".into())];
    let origin = Origin::remote(&parent, &state);
    let span = Span::begin(origin, SpanKind::Server, "request", format_args!("POST /api/chat/send"), &known);
    async {
        let trace = Span::current().trace_id();
        assert_eq!(trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let send = Span::begin(Origin::here(), SpanKind::Producer, "send", format_args!("send"), &[]);
        let _entered = send.enter();
        let mut metadata = tonic::metadata::MetadataMap::new();
        telemetry::propagate::inject(&mut metadata);
        telemetry::propagate::extract_metadata(&metadata)
    }
    .instrument(span)
    .await
}

fn the_wait((parent, state): &(String, String)) -> (SystemTime, SystemTime) {
    assert_eq!(state, "a=1,b=2");
    let start = UNIX_EPOCH + Duration::from_millis(1_709_208_000_123);
    let end = start + Duration::from_millis(750);
    let facts = [("domain", "query".to_owned())];
    telemetry::record_past("queue wait", SpanKind::Consumer, (parent, state), start, end, &facts);
    (start, end)
}

fn the_work((parent, state): &(String, String)) {
    let title = format_args!("process {}", "query.search");
    let span = Span::begin(Origin::remote(parent, state), SpanKind::Consumer, "process", title, &[]);
    span.record("outcome", "failed");
    span.fail("PROVIDER_BROKEN");
    span.in_scope(|| tracing::warn!(attempt = 2, "it did not answer"));
}

fn internal(origin: Origin, name: &'static str) -> Span {
    Span::begin(origin, SpanKind::Internal, name, format_args!("{name}"), &[])
}

fn metrics() {
    metric::queue::enqueued("query", "free");
    metric::queue::claimed("query", "free");
    metric::queue::settled("query", "free", "completed");
    metric::queue::wait("query", "free", Duration::from_millis(3));
    metric::queue::run("query", "free", Duration::from_millis(30));
    metric::queue::script("claim", Duration::from_micros(300));
    metric::http::finished("POST", "/api/chat/send", 202, Duration::from_millis(4));
    metric::http::active(1);
    metric::grpc::answered("nooble.query.v1.QueryService/Search", "OK", Duration::from_millis(2));
    metric::grpc::called("nooble.query.v1.QueryService/Search", "OK", Duration::from_millis(2));
    metric::limit::decided("free", "admitted");
    metric::identity::presented("token", "expired");
    metric::identity::access("agent", "redis");
    metric::identity::keys_fetched("failed");
    metric::identity::changes_connected(1);
    metric::session::connections("websocket", 1);
    metric::session::appended("agent_delta");
    metric::session::pushed("agent_delta");
    metric::session::gap();
    metric::model::tokens("m", "input", 12);
    metric::model::called("m", "chat", "ok", Duration::from_millis(20));
    metric::model::first_token("m", Duration::from_millis(5));
    let text = metric::render();
    for line in [
        r#"nooble_queue_enqueued_total{domain="query",tier="free"} 1"#,
        r#"nooble_queue_settled_total{domain="query",outcome="completed",tier="free"} 1"#,
        r#"nooble_queue_wait_seconds_bucket{domain="query",tier="free",le="0.005"} 1"#,
        r#"nooble_queue_script_seconds_count{script="claim"} 1"#,
        "http_server_active_requests 1",
        r#"nooble_quota_decisions_total{outcome="admitted",tier="free"} 1"#,
        r#"nooble_identity_credentials_total{credential="token",outcome="expired"} 1"#,
        r#"nooble_identity_accesses_total{kind="agent",source="redis"} 1"#,
        r#"nooble_identity_key_fetches_total{outcome="failed"} 1"#,
        "nooble_identity_changes_connected 1",
        r#"nooble_session_connections{transport="websocket"} 1"#,
        "nooble_session_gaps_total 1",
        r#"nooble_models_tokens_total{direction="input",model="m"} 12"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for name in [
        "http_server_request_duration_seconds",
        "rpc_server_call_duration_seconds",
        "rpc_client_call_duration_seconds",
        "nooble_queue_run_seconds",
        "nooble_session_frames_total",
        "nooble_session_appended_total",
        "nooble_models_call_seconds",
        "nooble_models_first_token_seconds",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no description in\n{text}");
    }
}
