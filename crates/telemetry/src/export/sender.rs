//! Sends to the collector what waits.

use std::time::Duration;

use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
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
        let endpoint =
            Endpoint::from_shared(endpoint.to_owned()).map_err(|error| Error::Endpoint(error.to_string()))?;
        let channel = endpoint.timeout(timeout).connect_timeout(timeout).connect_lazy();
        let attributes = ResourceAttributesWithSchema::from(about).attributes.0;
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { calls: Grpc::new(channel), headers, resource })
    }

    async fn take(&mut self, spans: &[u8]) -> Result<(), Status> {
        let away = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        self.calls.ready().await.map_err(away)?;
        let codec = ProstCodec::<Export, ExportTraceServiceResponse>::default();
        let request = Request::from_parts(self.headers.clone(), Extensions::default(), self.export(spans));
        let answer = self.calls.unary(request, PathAndQuery::from_static(EXPORT), codec).await?.into_inner();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        if rejected > 0 {
            metric::trace::lost(rejected.unsigned_abs());
            tracing::warn!(rejected, "the collector did not want some spans");
        }
        Ok(())
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
        let sender = Sender { outbox, collector, again: None };
        (Self(ask), sender.run(asked))
    }

    /// Waits until all that is over by now has been sent, or could not be. To be called outside of any runtime.
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
    /// What the collector did not take, and how often it was tried.
    again: Option<(Batch, u32)>,
}

impl Sender {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        loop {
            let done = tokio::select! {
                // A collector that is away is asked again in a second, however many wait.
                () = self.outbox.enough(), if self.again.is_none() => None,
                () = sleep(DELAY) => None,
                done = asked.recv() => match done {
                    Some(done) => Some(done),
                    None => return,
                },
            };
            self.send().await;
            if let Some(done) = done {
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self) {
        if let Some((batch, tries)) = self.again.take() {
            self.try_to_send(batch, tries).await;
        }
        if self.again.is_none() {
            let batch = self.outbox.take();
            if batch.count > 0 {
                self.try_to_send(batch, 0).await;
            }
        }
    }

    async fn try_to_send(&mut self, batch: Batch, tries: u32) {
        let Err(status) = self.collector.take(&batch.spans).await else { return };
        if tries == 0 {
            tracing::warn!(code = ?status.code(), error = status.message(), "the collector takes no spans");
        }
        if is_passing(&status) && tries + 1 < TRIES {
            self.again = Some((batch, tries + 1));
        } else {
            metric::trace::lost(batch.count);
        }
    }
}

/// Whether the same may succeed later.
fn is_passing(status: &Status) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, ResourceExhausted, Unavailable};
    matches!(
        status.code(),
        Aborted | Cancelled | DataLoss | DeadlineExceeded | OutOfRange | ResourceExhausted | Unavailable
    )
}
