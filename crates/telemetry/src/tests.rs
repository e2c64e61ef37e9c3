use std::io::Write;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::filter::Logged;
use crate::json::JsonLines;
use crate::{Error, Origin, filter};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn read(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("lines are text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

/// Logs what `work` does under some directives, as `init` would.
fn logged(directives: &str, work: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let writer = lines.clone();
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let spans = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter::traces());
    let logs = JsonLines::new(move || writer.clone(), Logged::by(directives).expect("directives"));
    tracing::subscriber::with_default(Registry::default().with(spans).with(logs), work);
    lines.read()
}

#[test]
fn a_line_has_the_trace_and_the_fields_of_all_spans_around_it() {
    let lines = logged("info", || {
        let request = tracing::info_span!("request", otel.kind = "server", task_id = "t-1", tenant = "acme", tries = 1);
        let _request = request.enter();
        let step = tracing::info_span!("step", tries = 2, late = tracing::field::Empty);
        let _step = step.enter();
        step.record("late", true);
        tracing::info!(count = 3, "done \"well\"");
    });
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    assert_eq!(
        (&line["message"], &line["level"], &line["count"]),
        (&"done \"well\"".into(), &"INFO".into(), &3.into())
    );
    assert_eq!((&line["task_id"], &line["tenant"], &line["late"]), (&"t-1".into(), &"acme".into(), &true.into()));
    assert_eq!((&line["tries"], &line["span"]), (&2.into(), &"step".into()), "the inner span wins");
    assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
    assert!(line.get("otel.kind").is_none());
}

#[test]
fn an_event_outside_of_spans_has_no_trace() {
    let lines = logged("", || tracing::info!("alone"));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].get("trace_id").is_none());
}

#[test]
fn transports_are_quiet_unless_they_are_named() {
    let speak = || {
        tracing::info!(target: "h2::codec", "frame");
        tracing::warn!(target: "hyper_util", "trouble");
        tracing::debug!(target: "queue", "detail");
        tracing::info!(target: "queue", "step");
    };
    let said = |directives: &str| {
        let lines = logged(directives, speak);
        lines.iter().map(|line| line["message"].as_str().expect("a message").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said("info"), ["trouble", "step"]);
    assert_eq!(said("info,queue=debug"), ["trouble", "detail", "step"]);
    assert_eq!(said("warn,h2=info"), ["frame", "trouble"]);
}

#[test]
fn a_warning_has_the_fields_of_its_span_even_if_only_warnings_are_logged() {
    let lines = logged("warn", || {
        tracing::info_span!("request", task_id = "t-1").in_scope(|| tracing::warn!("careful"));
    });
    assert_eq!(lines[0]["task_id"], "t-1");
    assert!(lines[0].get("trace_id").is_some());
}

#[test]
fn directives_that_make_no_sense_are_refused() {
    for wrong in ["loud", "queue=loud", "info,,=,", "info,[request]=debug"] {
        assert!(matches!(Logged::by(wrong), Err(Error::LogLevel(_))), "{wrong}");
    }
}

#[test]
fn what_begins_within_a_trace_is_recorded_as_the_trace_is_and_its_context_goes_on_whole() {
    let known = "0af7651916cd43dd8448eb211c80319c";
    for (flags, is_recorded) in [("01", true), ("00", false)] {
        let parent = format!("00-{known}-b7ad6b7169203331-{flags}");
        let _lines = logged("info", || {
            assert!(crate::is_recorded(), "a span without any around it decides for itself");
            let span = crate::span!(Origin::remote(&parent, "vendor=1"), "request");
            let _entered = span.enter();
            assert_eq!(crate::is_recorded(), is_recorded, "{parent}");
            let (traceparent, tracestate) = crate::current();
            let parts: Vec<_> = traceparent.split('-').collect();
            assert_eq!((parts[0], parts[1], parts[3]), ("00", known, flags), "{traceparent}");
            assert!(parts[2].len() == 16 && parts[2] != "b7ad6b7169203331", "its own span: {traceparent}");
            assert_eq!(tracestate, "vendor=1");
        });
    }
}

#[test]
fn what_nobody_will_see_stands_in_the_log_all_the_same_and_is_kept_from_opentelemetry() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let mut contexts = Vec::new();
    let lines = logged("info", || {
        let request =
            crate::span!(Origin::remote(parent, ""), "request", task_id = "t-1", late = tracing::field::Empty);
        let _request = request.enter();
        request.record("late", 7);
        tracing::info!("in the request");
        contexts.push(crate::current().0);
        let step = crate::span!(Origin::here(), "step", count = 2);
        let _step = step.enter();
        tracing::info!("in the step");
        contexts.push(crate::current().0);
        assert!(!tracing_opentelemetry::OpenTelemetrySpanExt::context(&step).has_active_span());
        assert_eq!(crate::trace_id(&step).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    });
    let [request, step] = &lines[..] else { panic!("two lines: {lines:?}") };
    for (line, context) in lines.iter().zip(&contexts) {
        let ids = format!("00-{}-{}-00", line["trace_id"].as_str().unwrap(), line["span_id"].as_str().unwrap());
        assert_eq!((&line["task_id"], &line["late"], &ids), (&"t-1".into(), &7.into(), context));
    }
    assert_eq!((&request["span"], &step["span"], &step["count"]), (&"request".into(), &"step".into(), &2.into()));
    assert_ne!(request["span_id"], step["span_id"], "each has its own");
    assert_eq!(request["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}
