//! The other side of the gateway's calls, doing nothing: takes messages, lets sessions be followed and pushes into them, and
//! swallows spans.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::orchestrator_service_server::{OrchestratorService, OrchestratorServiceServer};
use proto::orchestrator::v1::{
    Attached, ConnectRequest, ConnectResponse, Resumed, SendMessageRequest, SendMessageResponse,
};
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentDelta, Frame, Task};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use super::{pusher, say};
use crate::edge::beside;

const EPOCH: &str = "bench";
const TASK: &str = "0198f3c0-0000-7000-8000-000000000000";
/// What a frame carries of an answer.
const TEXT: usize = 64;

#[derive(Clone, Default)]
struct Upstream {
    followed: Arc<Mutex<Vec<Followed>>>,
}

/// A session that somebody follows.
struct Followed {
    stream: mpsc::UnboundedSender<ConnectResponse>,
    channel: u64,
    tenant: String,
    session: String,
    seq: u64,
}

/// Serves until standard input is closed.
pub(super) async fn run() -> Result<()> {
    let upstream = Upstream::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let serving = tonic::transport::Server::builder()
        .add_service(OrchestratorServiceServer::new(upstream.clone()))
        .add_service(TraceServiceServer::new(upstream.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let serving = beside(serving);
    say("ready", &json!({ "grpc": address }))?;
    pusher::obey(|number| upstream.push(number), || upstream.of_living().len()).await?;
    serving.abort();
    Ok(())
}

impl Upstream {
    fn of_living(&self) -> std::sync::MutexGuard<'_, Vec<Followed>> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|followed| !followed.stream.is_closed());
        followed
    }

    fn push(&self, number: usize) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number % followed.len();
        let one = &mut followed[place];
        one.seq += 1;
        let delta = AgentDelta { attempt: 1, index: u32::try_from(one.seq).unwrap_or(0), text: "x".repeat(TEXT) };
        let frame = Frame {
            epoch: EPOCH.to_owned(),
            seq: one.seq,
            at: Some(action::time::to_proto(SystemTime::now())),
            task_id: TASK.to_owned(),
            session_id: one.session.clone(),
            tenant_id: one.tenant.clone(),
            tier: action::Tier::Professional.to_proto().into(),
            trace: None,
            body: Some(Body::AgentDelta(delta)),
        };
        let _gone = one.stream.send(ConnectResponse { channel: one.channel, event: Some(Event::Frame(frame)) });
    }

    fn obey(&self, stream: &mpsc::UnboundedSender<ConnectResponse>, request: ConnectRequest) {
        let Some(Command::Attach(attach)) = request.command else { return };
        let (channel, epoch) = (request.channel, EPOCH.to_owned());
        let attached = Attached { epoch: epoch.clone(), top: 0, after: 0 };
        let resumed = Resumed { from: 1, to: 0, epoch };
        for event in [Event::Attached(attached), Event::Resumed(resumed)] {
            let _gone = stream.send(ConnectResponse { channel, event: Some(event) });
        }
        let followed =
            Followed { stream: stream.clone(), channel, tenant: attach.tenant_id, session: attach.session_id, seq: 0 };
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).push(followed);
    }
}

#[tonic::async_trait]
impl OrchestratorService for Upstream {
    type ConnectStream = BoxStream<'static, Result<ConnectResponse, Status>>;

    async fn send_message(&self, _: Request<SendMessageRequest>) -> Result<Response<SendMessageResponse>, Status> {
        Ok(Response::new(SendMessageResponse {
            task: Some(Task { task_id: TASK.to_owned(), ..Task::default() }),
            queue_name: "execution:agent:professional".to_owned(),
            estimated_time: Some(action::time::duration_to_proto(std::time::Duration::from_secs(10))),
        }))
    }

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (upstream, mut commands) = (self.clone(), request.into_inner());
        beside(async move {
            while let Some(Ok(request)) = commands.next().await {
                upstream.obey(&sender, request);
            }
            // A gateway that is gone follows nothing.
            let gone = |followed: &Followed| followed.stream.same_channel(&sender);
            upstream.followed.lock().unwrap_or_else(PoisonError::into_inner).retain(|followed| !gone(followed));
        });
        let events = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (Ok(event), receiver))
        });
        Ok(Response::new(events.boxed()))
    }
}

#[tonic::async_trait]
impl TraceService for Upstream {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
