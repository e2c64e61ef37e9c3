//! Sends to the collector what waits.

use std::error::Error as _;
use std::fmt::Display;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Extensions, Request, Status};
use tonic_prost::ProstCodec;

use super::outbox::{Batch, Outbox};
use super::wire;
use crate::Error;
use crate::metric;

/// How long a span that is over waits for company.
const DELAY: Duration = Duration::from_secs(1);
/// How often the same spans are sent to a collector that does not take them.
const TRIES: u32 = 5;
/// How long everything that waits is sent when somebody asks for it, and the pause between two tries then.
const LAST: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// `scope` of a `ScopeSpans`
const SCOPE: u32 = 1;

/// An `ExportTraceServiceRequest`. What is within it is written already; on the wire a message within a message is its bytes.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, optional, tag = "1")]
    resource_spans: Option<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(bytes = "vec", tag = "2")]
    scope_spans: Vec<u8>,
}

/// Who takes the spans.
pub(crate) struct Collector {
    calls: Grpc<Channel>,
    /// For an export as a whole: a call's own ends with the head of its answer.
    timeout: Duration,
    headers: MetadataMap,
    resource: Resource,
}

impl Collector {
    /// Knows it by its address; it is called when there is something to send. To be called within the runtime that will send.
    pub(crate) fn at(
        endpoint: &str,
        timeout: Duration,
        headers: MetadataMap,
        about: &opentelemetry_sdk::Resource,
    ) -> Result<Self, Error> {
        let refused = |why: &dyn Display| Error::Endpoint(why.to_string());
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| refused(&error))?;
        if endpoint.uri().scheme() != Some(&Scheme::HTTP) {
            return Err(refused(
                &"it must begin with http://; what is behind a certificate needs a collector beside the process",
            ));
        }
        let channel = endpoint.connect_timeout(timeout).connect_lazy();
        let attributes = ResourceAttributesWithSchema::from(about).attributes.0;
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { calls: Grpc::new(channel), timeout, headers, resource })
    }

    async fn take(&mut self, spans: &[u8]) -> Result<(), Status> {
        let took = tokio::time::timeout(self.timeout, self.call(spans)).await;
        let answer = took.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))?;
        if let Some(partial) = answer.partial_success {
            let (rejected, message) = (partial.rejected_spans, partial.error_message);
            if rejected > 0 || !message.is_empty() {
                metric::trace::lost(u64::try_from(rejected).unwrap_or_default());
                tracing::warn!(rejected, message, "the collector has something to say about spans");
            }
        }
        Ok(())
    }

    async fn call(&mut self, spans: &[u8]) -> Result<ExportTraceServiceResponse, Status> {
        let away = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        self.calls.ready().await.map_err(away)?;
        let codec = ProstCodec::<Export, ExportTraceServiceResponse>::default();
        let request = Request::from_parts(self.headers.clone(), Extensions::default(), self.export(spans));
        Ok(self.calls.unary(request, PathAndQuery::from_static(EXPORT), codec).await?.into_inner())
    }

    fn export(&self, spans: &[u8]) -> Export {
        let scope = InstrumentationScope { name: "nooble".to_owned(), ..InstrumentationScope::default() };
        let mut scope_spans = Vec::with_capacity(spans.len() + 16);
        wire::bytes(&mut scope_spans, SCOPE, &scope.encode_to_vec());
        scope_spans.extend_from_slice(spans);
        let resource = Some(self.resource.clone());
        Export { resource_spans: Some(ResourceSpans { resource, scope_spans }) }
    }
}

/// Asks for everything to be sent now.
#[derive(Clone, Debug)]
pub(crate) struct Sending(mpsc::Sender<oneshot::Sender<()>>);

impl Sending {
    /// Begins to send what comes into an outbox. What is returned goes on as long as this lives.
    pub(crate) fn begin(
        outbox: &'static Outbox,
        collector: Collector,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (ask, asked) = mpsc::channel(4);
        let sender = Sender { outbox, collector, again: None, is_away: false };
        (Self(ask), sender.run(asked))
    }

    /// Waits until all that is over by now has been sent, or time is up. To be called outside of any runtime.
    pub(crate) fn flush(&self) {
        let (done, finished) = oneshot::channel();
        if self.0.blocking_send(done).is_ok() {
            let _ = finished.blocking_recv();
        }
    }
}

struct Sender {
    outbox: &'static Outbox,
    collector: Collector,
    /// What the collector has not taken yet, and how often it was tried.
    again: Option<(Batch, u32)>,
    /// Whether the last export failed.
    is_away: bool,
}

impl Sender {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        loop {
            tokio::select! {
                // A collector that takes nothing is asked again in a second, however many wait.
                () = self.outbox.enough(), if !self.is_away => self.send().await,
                () = sleep(DELAY) => self.send().await,
                done = asked.recv() => {
                    let Some(done) = done else { return };
                    let _ = timeout(LAST, self.send_all()).await;
                    let _ = done.send(());
                },
            }
        }
    }

    /// Sends until nothing waits. It may be given up; what is left is sent later.
    async fn send_all(&mut self) {
        while self.again.is_some() || !self.outbox.is_empty() {
            self.send().await;
            if self.again.is_some() {
                sleep(PAUSE).await;
            }
        }
    }

    /// Sends what was not taken before, or else what waits.
    async fn send(&mut self) {
        let (batch, tries) = self.again.get_or_insert_with(|| (self.outbox.take(), 0));
        if batch.count == 0 {
            self.again = None;
            return;
        }
        *tries += 1;
        let taken = self.collector.take(&batch.spans).await;
        if let Err(status) = &taken
            && !self.is_away
        {
            tracing::warn!(code = ?status.code(), error = status.message(), "the collector takes no spans");
        }
        self.is_away = taken.is_err();
        match taken {
            Err(status) if is_passing(&status) && *tries < TRIES => {}
            Err(_) => {
                metric::trace::lost(batch.count);
                self.again = None;
            }
            Ok(()) => self.again = None,
        }
    }
}

/// Whether the same may succeed later: the connection failed, or the collector says so.
fn is_passing(status: &Status) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
    let passes = matches!(status.code(), Aborted | Cancelled | DataLoss | DeadlineExceeded | OutOfRange | Unavailable);
    passes || status.source().is_some()
}
