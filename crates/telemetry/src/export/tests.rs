//! What is written by hand is what OpenTelemetry's own messages read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, SpanFlags, span, status};
use proptest::prelude::*;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::{Collector, Event, Outbox, Record, Scalar, Sending, wire};
use crate::{SpanKind, Value};

fn context(is_remote: bool) -> SpanContext {
    let state = TraceState::from_key_value([("vendor", "1")]).unwrap();
    SpanContext::new(TraceId::from(7), SpanId::from(9), TraceFlags::SAMPLED, is_remote, state)
}

/// A test's outbox lives as long as the process.
fn outbox() -> &'static Outbox {
    Box::leak(Box::default())
}

fn begun(outbox: &'static Outbox, parent: Option<&SpanContext>, start: SystemTime) -> Record {
    Record::begin(outbox, &context(false), parent, SpanKind::Client, format_args!("call {}", "it"), start)
}

fn sent(outbox: &Outbox) -> Vec<Span> {
    let batch = outbox.take();
    let spans = ScopeSpans::decode(&batch.spans[..]).expect("a message").spans;
    assert_eq!(spans.len() as u64, batch.count);
    spans
}

fn value(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(name: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[test]
fn a_span_has_its_place_its_times_its_attributes_and_its_failure() {
    let outbox = outbox();
    let start = UNIX_EPOCH + Duration::from_nanos(1_709_208_000_123_456_789);
    let parent = SpanContext::new(TraceId::from(7), SpanId::from(8), TraceFlags::SAMPLED, true, TraceState::NONE);
    let mut record = begun(outbox, Some(&parent), start);
    record.set("tier", &Value::Word("free"));
    record.set("absent", &Value::Absent);
    record.set("tries", &2_u32.into());
    record.set("shown", &Value::Shown(&"ä".repeat(200)));
    record.fail("PROVIDER_BROKEN");
    record.fail("");
    record.end(start + Duration::from_millis(5));
    let [span] = &sent(outbox)[..] else { panic!("one span") };
    assert_eq!((&span.trace_id[..], &span.span_id[..]), (&7_u128.to_be_bytes()[..], &9_u64.to_be_bytes()[..]));
    assert_eq!((&span.parent_span_id[..], span.trace_state.as_str()), (&8_u64.to_be_bytes()[..], "vendor=1"));
    let flags = SpanFlags::ContextHasIsRemoteMask as u32 | SpanFlags::ContextIsRemoteMask as u32 | 1;
    assert_eq!((span.name.as_str(), span.kind(), span.flags), ("call it", span::SpanKind::Client, flags));
    assert_eq!(
        (span.start_time_unix_nano, span.end_time_unix_nano),
        (1_709_208_000_123_456_789, 1_709_208_000_128_456_789)
    );
    let attributes = [
        pair("tier", value(any_value::Value::StringValue("free".to_owned()))),
        pair("tries", value(any_value::Value::IntValue(2))),
        pair("shown", value(any_value::Value::StringValue("ä".repeat(200)))),
    ];
    assert_eq!(span.attributes, attributes);
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code(), status.message.as_str()), (status::StatusCode::Error, "PROVIDER_BROKEN"));
}

#[test]
fn a_span_that_did_not_fail_has_no_status_and_one_without_a_parent_is_a_root() {
    let outbox = outbox();
    let before = SystemTime::now();
    drop(begun(outbox, None, before));
    let [span] = &sent(outbox)[..] else { panic!("one span") };
    assert!(span.parent_span_id.is_empty() && span.status.is_none() && span.events.is_empty());
    assert_eq!(span.flags, SpanFlags::ContextHasIsRemoteMask as u32 | 1);
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "it ends when it is dropped");
}

#[test]
fn events_are_kept_up_to_a_number_and_the_others_are_counted() {
    let outbox = outbox();
    let mut record = begun(outbox, None, UNIX_EPOCH);
    for number in 0..130 {
        let mut event = Event::now();
        event.name("it did not answer");
        event.set("attempt", Scalar::Number(number));
        record.add(&event);
    }
    drop(record);
    let [span] = &sent(outbox)[..] else { panic!("one span") };
    assert_eq!((span.events.len(), span.dropped_events_count), (128, 2));
    let last = &span.events[127];
    assert_eq!(last.name, "it did not answer");
    assert!(last.time_unix_nano > 0);
    assert_eq!(last.attributes, [pair("attempt", value(any_value::Value::IntValue(127)))]);
}

#[test]
fn what_waits_is_bounded_and_comes_in_its_order() {
    let outbox = outbox();
    let long = "x".repeat(100_000);
    for number in 0..30_u32 {
        let mut record = begun(outbox, None, UNIX_EPOCH);
        record.set("number", &number.into());
        record.set("text", &Value::Text(&long));
    }
    let numbers: Vec<_> = sent(outbox).into_iter().map(|span| span.attributes[0].value.clone().unwrap()).collect();
    let expected: Vec<_> = (0..20).map(|number| value(any_value::Value::IntValue(number))).collect();
    assert_eq!(numbers, expected, "2 MiB");
    drop(begun(outbox, None, UNIX_EPOCH));
    assert_eq!(sent(outbox).len(), 1, "there is room again");
}

/// A collector that answers with what it is told, the last answer again and again.
struct Moody {
    answers: Mutex<Vec<Code>>,
    spans: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TraceService for Moody {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let answer = self.answers.lock().unwrap().pop().unwrap_or(Code::Ok);
        if answer != Code::Ok {
            return Err(Status::new(answer, "not now"));
        }
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|all| all.scope_spans);
        self.spans.fetch_add(spans.map(|scope| scope.spans.len()).sum(), Ordering::SeqCst);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Sends a span and then, once more, what is left, to a collector with such answers; returns how many spans it took.
async fn taken_by(answers: &[Code]) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let spans = Arc::<AtomicUsize>::default();
    let answers = Mutex::new(answers.iter().rev().copied().collect());
    let service = TraceServiceServer::new(Moody { answers, spans: Arc::clone(&spans) });
    let serving = tonic::transport::Server::builder().add_service(service);
    let outbox = outbox();
    let about = opentelemetry_sdk::Resource::builder_empty().build();
    let collector = Collector::at(&endpoint, Duration::from_secs(10), MetadataMap::new(), &about).unwrap();
    let (sending, work) = Sending::begin(outbox, collector);
    let flushes = async {
        for _ in 0..2 {
            drop(begun(outbox, None, UNIX_EPOCH));
            let sending = sending.clone();
            tokio::task::spawn_blocking(move || sending.flush()).await.unwrap();
            assert!(outbox.is_empty());
        }
    };
    tokio::select! {
        () = flushes => {}
        () = work => panic!("it goes on"),
        served = serving.serve_with_incoming(TcpListenerStream::new(listener)) => panic!("{served:?}"),
    }
    spans.load(Ordering::SeqCst)
}

#[tokio::test]
async fn spans_that_a_collector_does_not_take_now_are_sent_again_and_those_it_will_never_take_are_not() {
    assert_eq!(taken_by(&[]).await, 2);
    assert_eq!(taken_by(&[Code::Unavailable, Code::Aborted]).await, 2, "within one flush");
    assert_eq!(taken_by(&[Code::Unavailable; 5]).await, 1, "not for ever");
    for never in [Code::InvalidArgument, Code::ResourceExhausted] {
        assert_eq!(taken_by(&[never]).await, 1, "the first one is lost and in nobody's way");
    }
}

proptest! {
    #[test]
    fn attributes_of_every_kind_are_read_as_they_were_written(
        name in ".{0,300}", text in ".{0,300}", number in any::<i64>(), float in any::<f64>(), flag in any::<bool>(),
    ) {
        let all = [
            (Scalar::Text(&text), any_value::Value::StringValue(text.clone())),
            (Scalar::Number(number), any_value::Value::IntValue(number)),
            (Scalar::Float(float), any_value::Value::DoubleValue(float)),
            (Scalar::Flag(flag), any_value::Value::BoolValue(flag)),
        ];
        let mut bytes = Vec::new();
        for (scalar, _) in &all {
            wire::attribute(&mut bytes, 9, &name, *scalar);
        }
        let read = Span::decode(&bytes[..]).unwrap();
        let expected: Vec<_> = all.into_iter().map(|(_, kind)| pair(&name, value(kind))).collect();
        prop_assert_eq!(format!("{:?}", read.attributes), format!("{expected:?}"));
    }
}
