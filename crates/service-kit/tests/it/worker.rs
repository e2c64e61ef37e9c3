//! A worker from outside, and work for it.

use std::collections::VecDeque;
use std::time::Duration;

use action::{Action, AgentId, ExecutionContext, Status, Tier};
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult};
use proto::queue::v1 as wire;
use proto::queue::v1::queue_service_client::QueueServiceClient;
use proto::queue::v1::settle::Verdict;
use proto::queue::v1::work_request::Message as Say;
use proto::queue::v1::work_response::Message as Told;
use proto::task::v1::Task;
use testkit::eventually;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use crate::mesh::{Mesh, request};

/// Far above what anything takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A stream, over a connection of its own.
pub(crate) struct Worker {
    wire: JoinHandle<()>,
    say: Option<mpsc::UnboundedSender<wire::WorkRequest>>,
    answers: tonic::Streaming<wire::WorkResponse>,
    overheard: VecDeque<Told>,
}

impl Worker {
    /// Opens a stream and says nothing yet.
    pub(crate) async fn connect(mesh: &Mesh, key: &str) -> Self {
        let (say, mut said) = mpsc::unbounded_channel();
        let requests = futures::stream::poll_fn(move |cx| said.poll_recv(cx));
        let call = request(requests, &[("x-api-key", key)]);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, host) = (listener.local_addr().unwrap(), mesh.grpc);
        let wire = tokio::spawn(async move {
            let (mut here, _) = listener.accept().await.unwrap();
            let mut there = TcpStream::connect(host).await.unwrap();
            let _ = copy_bidirectional(&mut here, &mut there).await;
        });
        let channel = Endpoint::try_from(format!("http://{address}")).unwrap().connect_lazy();
        let answers = QueueServiceClient::new(channel).work(call).await.unwrap().into_inner();
        Self { wire, say: Some(say), answers, overheard: VecDeque::new() }
    }

    /// Opens a stream of the domain of embeddings.
    pub(crate) async fn open(mesh: &Mesh, credits: u32) -> Self {
        let mut worker = Self::connect(mesh, "nbl_worker_key").await;
        worker.say(Say::Open(open("embedding", credits)));
        assert!(matches!(worker.next().await.unwrap(), Some(Told::Opened(_))));
        worker
    }

    pub(crate) fn say(&self, message: Say) {
        let _ = self.say.as_ref().unwrap().send(wire::WorkRequest { message: Some(message) });
    }

    /// Closes its side.
    pub(crate) fn close(&mut self) {
        self.say = None;
    }

    /// Dies, as a process does: its connection breaks without a word.
    pub(crate) async fn die(self) {
        self.wire.abort();
        let _ = self.wire.await;
    }

    /// Returns what it is told next; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, tonic::Status> {
        if let Some(told) = self.overheard.pop_front() {
            return Ok(Some(told));
        }
        self.receive().await
    }

    async fn receive(&mut self) -> Result<Option<Told>, tonic::Status> {
        let answer = tokio::time::timeout(PATIENCE, self.answers.message()).await.unwrap()?;
        Ok(answer.map(|answer| answer.message.unwrap()))
    }

    /// Returns what the stream ends with, whatever comes before.
    pub(crate) async fn end(&mut self) -> Option<tonic::Status> {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }

    pub(crate) async fn leased(&mut self) -> wire::LeasedAction {
        match self.next().await.unwrap() {
            Some(Told::Leased(leased)) => leased,
            other => panic!("not a lease: {other:?}"),
        }
    }

    pub(crate) async fn settle(&mut self, leased: &wire::LeasedAction, verdict: Verdict) -> wire::Settled {
        self.settle_under(leased, fence(leased), verdict).await
    }

    pub(crate) async fn settle_under(
        &mut self,
        leased: &wire::LeasedAction,
        fence: u64,
        verdict: Verdict,
    ) -> wire::Settled {
        let settle = wire::Settle { lease_id: leased.lease_id, fence, verdict: Some(verdict) };
        self.say(Say::Settle(settle));
        loop {
            match self.receive().await.unwrap() {
                Some(Told::Settled(settled)) => return settled,
                // What is leased may come before the answer to what made room for it.
                Some(other) => self.overheard.push_back(other),
                None => panic!("the stream ended before it answered"),
            }
        }
    }
}

pub(crate) fn open(domain: &str, credits: u32) -> wire::Open {
    wire::Open { domain: domain.to_owned(), credits, worker_name: "test".to_owned() }
}

pub(crate) fn fence(leased: &wire::LeasedAction) -> u64 {
    leased.action.as_ref().unwrap().queue.as_ref().unwrap().fence
}

pub(crate) fn attempt(leased: &wire::LeasedAction) -> u32 {
    leased.action.as_ref().unwrap().queue.as_ref().unwrap().attempt
}

/// A verdict of the right type.
pub(crate) fn done() -> Verdict {
    complete(Some(prost_types::Any::from_msg(&GenerateEmbeddingsResult::default()).unwrap()))
}

pub(crate) fn complete(result: Option<prost_types::Any>) -> Verdict {
    Verdict::Complete(wire::Complete { result, tokens_used: None })
}

/// Makes work for the tenant `acme-1`.
pub(crate) fn work() -> Action {
    let context = ExecutionContext::agent("agent-1".parse::<AgentId>().unwrap());
    let payload = GenerateEmbeddings { texts: vec!["a text".to_owned()], model: String::new() };
    Action::root("acme-1".parse().unwrap(), Tier::Free, context, &payload)
}

pub(crate) async fn submit(mesh: &Mesh) -> Action {
    let action = work();
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    action
}

pub(crate) async fn task(mesh: &Mesh, action: &Action) -> Task {
    mesh.kit.queue.task(&action.tenant, action.task).await.unwrap().unwrap()
}

/// Waits until a task has a status, and returns it.
pub(crate) async fn until(mesh: &Mesh, action: &Action, status: Status) -> Task {
    eventually(PATIENCE, || async { task(mesh, action).await.status() == status }).await;
    task(mesh, action).await
}
