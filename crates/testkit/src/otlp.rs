//! A collector of the test's own: takes spans over OTLP/gRPC and answers questions about them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as wire;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;

pub use wire::span::SpanKind;

/// A collector on a free port of the loopback. It ends when this is dropped.
#[derive(Debug)]
pub struct Collector {
    spans: Received,
    headers: Headers,
    endpoint: String,
    server: JoinHandle<()>,
}

type Received = Arc<Mutex<Vec<Span>>>;
type Headers = Arc<Mutex<MetadataMap>>;

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// The span itself, 16 hexadecimal digits.
    pub span_id: String,
    /// Its parent; empty for a root.
    pub parent_id: String,
    /// `service.name` of the process.
    pub service: String,
    /// Name.
    pub name: String,
    /// What it is to its neighbours.
    pub kind: SpanKind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Attributes, as text.
    pub attributes: HashMap<String, String>,
    /// Names of what happened within it.
    pub events: Vec<String>,
    /// Whether it failed.
    pub failed: bool,
}

impl Span {
    /// Returns how long it took.
    pub fn duration(&self) -> Duration {
        self.end.duration_since(self.start).unwrap_or_default()
    }

    /// Returns an attribute, empty when there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    /// Starts a collector.
    ///
    /// # Panics
    ///
    /// Panics when the loopback has no free port.
    #[expect(clippy::disallowed_methods, reason = "a test's server is ended by dropping it, not by draining")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let spans = Received::default();
        let headers = Headers::default();
        let service = TraceServiceServer::new(Receiver { spans: spans.clone(), headers: Arc::clone(&headers) });
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move {
            serving.await.expect("the collector serves");
        });
        Self { spans, headers, endpoint, server }
    }

    /// Returns the address to export to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns everything that came so far, in the order of beginning.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// Returns a header that it was shown with the last spans, empty when there was none.
    pub fn header(&self, name: &str) -> String {
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// Returns what came of one trace.
    pub fn trace(&self, trace_id: &str) -> Tree {
        Tree { spans: self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect() }
    }

    /// Returns the first span of a name.
    pub fn find(&self, name: &str) -> Option<Span> {
        self.spans().into_iter().find(|span| span.name == name)
    }

    /// Waits until what came fulfils a condition, and returns it.
    ///
    /// # Panics
    ///
    /// Panics after 20 s, with the names of what came.
    pub async fn wait_for(&self, condition: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let spans = self.spans();
            if condition(&spans) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
            assert!(Instant::now() < end, "only these spans came: {names:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The spans of one trace.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The spans, in the order of beginning.
    pub spans: Vec<Span>,
}

impl Tree {
    /// Returns the spans without a parent in this trace; one for a trace that is whole.
    pub fn roots(&self) -> Vec<&Span> {
        self.spans.iter().filter(|span| self.by_id(&span.parent_id).is_none()).collect()
    }

    /// Returns the first span of a name.
    pub fn find(&self, name: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.name == name)
    }

    /// Returns the parent of a span.
    pub fn parent(&self, span: &Span) -> Option<&Span> {
        self.by_id(&span.parent_id)
    }

    /// Returns the children of a span.
    pub fn children(&self, span: &Span) -> Vec<&Span> {
        self.spans.iter().filter(|child| child.parent_id == span.span_id).collect()
    }

    /// Returns the names from the root to the first span of a name; empty when there is no such span.
    pub fn path(&self, name: &str) -> Vec<&str> {
        let mut path = Vec::new();
        let mut at = self.find(name);
        while let Some(span) = at {
            path.push(span.name.as_str());
            at = self.parent(span);
        }
        path.reverse();
        path
    }

    fn by_id(&self, id: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.span_id == id)
    }
}

struct Receiver {
    spans: Received,
    headers: Headers,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        *self.headers.lock().unwrap_or_else(PoisonError::into_inner) = request.metadata().clone();
        let mut received = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let about = resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
            let service = about.get("service.name").cloned().unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.extend(spans.map(|span| read(&service, span)));
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(service: &str, span: wire::Span) -> Span {
    let failed = span.status.as_ref().is_some_and(|status| status.code() == wire::status::StatusCode::Error);
    Span {
        kind: span.kind(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        service: service.to_owned(),
        name: span.name,
        start: time(span.start_time_unix_nano),
        end: time(span.end_time_unix_nano),
        attributes: texts(span.attributes),
        events: span.events.iter().map(|event| event.name.clone()).collect(),
        failed,
    }
}

fn time(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: any_value::Value| match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::BoolValue(value) => value.to_string(),
        any_value::Value::IntValue(value) => value.to_string(),
        any_value::Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.into_iter().filter_map(|pair| Some((pair.key, text(pair.value?.value?))));
    pairs.collect()
}
