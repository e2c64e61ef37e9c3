use serde_json::Value as Json;

use crate::filter::Logged;
use crate::{Capture, Error, Instrument as _, Origin, Span, SpanKind, Value};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Logs what `work` does under some directives, as `init` would.
fn logged(directives: &str, work: impl FnOnce()) -> Vec<Json> {
    let capture = Capture::start(directives).expect("directives");
    work();
    capture.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn span(origin: Origin, name: &'static str, fields: &[(&'static str, Value<'_>)]) -> Span {
    Span::begin(origin, SpanKind::Internal, name, format_args!("{name}"), fields)
}

#[test]
fn a_line_has_the_trace_and_the_fields_of_all_spans_around_it() {
    let lines = logged("info", || {
        let known = [("task_id", "t-1".into()), ("tenant", Value::Word("acme")), ("tries", 1_u32.into())];
        let _request = span(Origin::here(), "request", &known).enter();
        let step = span(Origin::here(), "step", &[("tries", 2_u32.into()), ("absent", Value::Absent)]);
        let _step = step.enter();
        step.record("late", &"\"so\"".to_owned());
        tracing::info!(count = 3, "done \"well\"");
    });
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    assert_eq!(
        (&line["message"], &line["level"], &line["count"]),
        (&"done \"well\"".into(), &"INFO".into(), &3.into())
    );
    assert_eq!((&line["task_id"], &line["tenant"], &line["late"]), (&"t-1".into(), &"acme".into(), &"\"so\"".into()));
    assert_eq!((&line["tries"], &line["span"]), (&2.into(), &"step".into()), "the inner span wins");
    assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
    assert!(line.get("absent").is_none());
}

#[test]
fn what_is_within_nothing_is_within_what_is_around_it() {
    let lines = logged("info", || {
        let request = span(Origin::here(), "request", &[]);
        let _request = request.enter();
        Span::none().in_scope(|| tracing::info!("inside"));
        span(Origin::new_trace(), "other", &[]).in_scope(|| tracing::info!("beside"));
        tracing::info!("outside");
        assert_eq!(Span::current().trace_id(), request.trace_id());
    });
    let spans: Vec<_> = lines.iter().map(|line| line["span"].as_str().unwrap()).collect();
    assert_eq!(spans, ["request", "other", "request"]);
    assert_eq!(lines[0]["trace_id"], lines[2]["trace_id"]);
    assert_ne!(lines[0]["trace_id"], lines[1]["trace_id"]);
}

/// Logs when it is dropped.
struct Noisy;

impl Drop for Noisy {
    fn drop(&mut self) {
        tracing::info!("dropped");
    }
}

#[tokio::test]
async fn a_future_is_polled_and_dropped_within_its_span_and_others_between_are_not() {
    let capture = Capture::start("info").unwrap();
    let work = async {
        let _noisy = Noisy;
        tracing::info!("first");
        tokio::task::yield_now().await;
        tracing::info!("second");
        std::future::pending::<()>().await;
    };
    let mut work = Box::pin(work.instrument(span(Origin::here(), "work", &[])));
    assert!(futures::poll!(&mut work).is_pending());
    tracing::info!("between");
    assert!(futures::poll!(&mut work).is_pending());
    drop(work);
    tracing::info!("after");
    let lines: Vec<Json> = capture.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = lines.iter().map(|line| (line["message"].as_str().unwrap(), line["span"].as_str())).collect();
    let work = Some("work");
    assert_eq!(said, [("first", work), ("between", None), ("second", work), ("dropped", work), ("after", None)]);
}

#[test]
fn a_panic_leaves_the_span() {
    let lines = logged("info", || {
        let span = span(Origin::here(), "work", &[]);
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| span.in_scope(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        tracing::info!("after");
    });
    assert!(lines[0].get("span").is_none());
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
        span(Origin::here(), "request", &[("task_id", "t-1".into())]).in_scope(|| tracing::warn!("careful"));
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
    for (flags, is_recorded) in [("01", true), ("00", false)] {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
        let _lines = logged("info", || {
            assert!(crate::is_recorded(), "a span without any around it decides for itself");
            let span = span(Origin::remote(&parent, "vendor=1"), "request", &[]);
            let _entered = span.enter();
            assert_eq!(crate::is_recorded(), is_recorded, "{parent}");
            let (traceparent, tracestate) = crate::current();
            let parts: Vec<_> = traceparent.split('-').collect();
            assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, flags), "{traceparent}");
            assert!(parts[2].len() == 16 && parts[2] != "b7ad6b7169203331", "its own span: {traceparent}");
            assert_eq!(tracestate, "vendor=1");
        });
    }
}

#[test]
fn what_nobody_will_see_stands_in_the_log_all_the_same() {
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let mut contexts = Vec::new();
    let lines = logged("info", || {
        let request = span(Origin::remote(&parent, ""), "request", &[("task_id", "t-1".into())]);
        let _request = request.enter();
        request.record("late", 7_u32);
        tracing::info!("in the request");
        contexts.push(crate::current().0);
        let step = span(Origin::here(), "step", &[("count", 2_u32.into())]);
        let _step = step.enter();
        tracing::info!("in the step");
        contexts.push(crate::current().0);
        assert_eq!(step.trace_id().as_deref(), Some(TRACE));
    });
    let [request, step] = &lines[..] else { panic!("two lines: {lines:?}") };
    for (line, context) in lines.iter().zip(&contexts) {
        let ids = format!("00-{}-{}-00", line["trace_id"].as_str().unwrap(), line["span_id"].as_str().unwrap());
        assert_eq!((&line["task_id"], &line["late"], &ids), (&"t-1".into(), &7.into(), context));
    }
    assert_eq!((&request["span"], &step["span"], &step["count"]), (&"request".into(), &"step".into(), &2.into()));
    assert_ne!(request["span_id"], step["span_id"], "each has its own");
    assert_eq!(request["trace_id"], TRACE);
}
