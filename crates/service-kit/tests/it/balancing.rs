//! Calls to services of several processes that come and go.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use proto::embedding::v1 as wire;
use proto::embedding::v1::embedding_service_client::EmbeddingServiceClient;
use proto::embedding::v1::embedding_service_server::{EmbeddingService, EmbeddingServiceServer};
use service_kit::{Identity, Peer, Peers, PeersConfig, Reach, Resolve, Secret, Signer};
use testkit::{Proxy, eventually};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::mesh::ms;

/// A process that counts its calls.
struct Process {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Counting(Arc<AtomicUsize>);

#[tonic::async_trait]
impl EmbeddingService for Counting {
    async fn generate_embeddings(
        &self,
        _: Request<wire::GenerateEmbeddingsRequest>,
    ) -> Result<Response<wire::GenerateEmbeddingsResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(wire::GenerateEmbeddingsResponse::default()))
    }

    async fn get_model(&self, _: Request<wire::GetModelRequest>) -> Result<Response<wire::GetModelResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(ms(1)).await;
        Ok(Response::new(wire::GetModelResponse::default()))
    }
}

impl Process {
    async fn start() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).await
    }

    async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let served = tonic::transport::Server::builder()
            .add_service(EmbeddingServiceServer::new(Counting(Arc::clone(&calls))))
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
        tokio::spawn(served);
        Self { address, calls, stop }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Names as a test tells them.
#[derive(Clone, Debug, Default)]
struct Names(Arc<Mutex<Vec<SocketAddr>>>);

impl Names {
    fn list(&self, addresses: &[SocketAddr]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }

    fn client(&self) -> EmbeddingServiceClient<Peer> {
        let config = PeersConfig { embedding: "http://embedding.mesh:1".parse().unwrap(), ..nowhere() };
        let signer = Signer::new(&Secret::new("the key of the mesh"));
        let reach = Reach { resolver: Arc::new(self.clone()), resolve_every: ms(50), tls: None };
        let peers = Peers::reaching("test", signer, &config, &reach);
        peers.embedding(Identity::service())
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        assert_eq!(host, "embedding.mesh");
        let listed = self.0.lock().unwrap().clone();
        Box::pin(async move { if listed.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(listed) } })
    }
}

fn nowhere() -> PeersConfig {
    PeersConfig::all_at(([127, 0, 0, 1], 1).into())
}

/// Callers that call all the time.
struct Traffic {
    failed: Arc<Mutex<Vec<Status>>>,
    done: Arc<AtomicUsize>,
    slowest: Arc<Mutex<Duration>>,
    stop: CancellationToken,
    callers: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn begin(client: &EmbeddingServiceClient<Peer>, with_writes: bool) -> Self {
        let mut all = Self {
            failed: Arc::default(),
            done: Arc::default(),
            slowest: Arc::default(),
            stop: CancellationToken::new(),
            callers: Vec::new(),
        };
        for _ in 0..8 {
            let (mut client, failed, done) = (client.clone(), Arc::clone(&all.failed), Arc::clone(&all.done));
            let (slowest, stop) = (Arc::clone(&all.slowest), all.stop.clone());
            all.callers.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let begun = Instant::now();
                    if let Err(status) = client.get_model(wire::GetModelRequest {}).await {
                        failed.lock().unwrap().push(status);
                    }
                    if with_writes
                        && let Err(status) =
                            client.generate_embeddings(wire::GenerateEmbeddingsRequest::default()).await
                    {
                        failed.lock().unwrap().push(status);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = begun.elapsed().max(*slowest);
                }
            }));
        }
        all
    }

    /// Waits until so many rounds more are done.
    async fn more(&self, rounds: usize) {
        let goal = self.done.load(Ordering::Relaxed) + rounds;
        eventually(Duration::from_secs(20), || async { self.done.load(Ordering::Relaxed) >= goal }).await;
    }

    /// Waits for the last calls; none may have failed.
    async fn end(self) {
        self.stop.cancel();
        join_all(self.callers).await;
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{} calls failed, e.g. {:?}", failed.len(), failed[0]);
    }
}

/// Checks that the calls of the next while are spread evenly.
async fn assert_even(traffic: &Traffic, processes: &[&Process]) {
    let before: Vec<_> = processes.iter().map(|process| process.calls()).collect();
    traffic.more(1000).await;
    let share: Vec<_> = processes.iter().zip(before).map(|(process, before)| process.calls() - before).collect();
    let even = share.iter().sum::<usize>() / share.len();
    assert!(share.iter().all(|calls| calls.abs_diff(even) * 10 <= even), "{share:?}");
}

async fn called(process: &Process) {
    let before = process.calls();
    eventually(Duration::from_secs(10), || async { process.calls() > before + 10 }).await;
}

#[tokio::test]
async fn calls_follow_processes_that_come_and_go_and_none_fails() {
    let (first, second, third) = (Process::start().await, Process::start().await, Process::start().await);
    let names = Names::default();
    names.list(&[first.address]);
    let traffic = Traffic::begin(&names.client(), true);
    traffic.more(100).await;
    names.list(&[first.address, second.address, third.address]);
    called(&second).await;
    called(&third).await;
    assert_even(&traffic, &[&first, &second, &third]).await;
    // As in a rolling deployment: it ends while it is still listed.
    first.stop.cancel();
    names.list(&[second.address, third.address]);
    traffic.more(100).await;
    assert_even(&traffic, &[&second, &third]).await;
    let before = first.calls();
    traffic.more(100).await;
    assert_eq!(first.calls(), before);
    traffic.end().await;
}

#[tokio::test]
async fn a_process_that_is_let_go_finishes_its_calls() {
    let (first, second) = (Process::start().await, Process::start().await);
    let names = Names::default();
    names.list(&[first.address]);
    let traffic = Traffic::begin(&names.client(), true);
    traffic.more(50).await;
    for round in 0..10 {
        names.list(&[if round % 2 == 0 { second.address } else { first.address }]);
        called(if round % 2 == 0 { &second } else { &first }).await;
    }
    traffic.end().await;
}

#[tokio::test]
async fn a_killed_process_costs_no_read_and_is_found_again() {
    let (steady, killed) = (Process::start().await, Process::start().await);
    // Both behind a proxy: calls go to whoever has the fewest under way, and a detour of one alone would be no even share.
    let detour = async |process: &Process| Proxy::start(&format!("redis://{}", process.address)).await;
    let address = |proxy: &Proxy| proxy.url().trim_start_matches("redis://").parse().unwrap();
    let (same, proxy) = (detour(&steady).await, detour(&killed).await);
    let names = Names::default();
    names.list(&[address(&same), address(&proxy)]);
    let traffic = Traffic::begin(&names.client(), false);
    called(&killed).await;
    proxy.refuse(true).await;
    proxy.cut();
    traffic.more(300).await;
    let before = killed.calls();
    traffic.more(300).await;
    assert_eq!(killed.calls(), before, "no call goes to a dead process");
    proxy.refuse(false).await;
    called(&killed).await;
    assert_even(&traffic, &[&steady, &killed]).await;
    traffic.end().await;
}

#[tokio::test]
async fn a_process_that_accepts_and_never_answers_gets_no_call() {
    let steady = Process::start().await;
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let names = Names::default();
    names.list(&[hole.local_addr().unwrap(), steady.address]);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = hole.accept().await {
            kept.push(stream);
        }
    });
    let traffic = Traffic::begin(&names.client(), true);
    traffic.more(500).await;
    assert!(*traffic.slowest.lock().unwrap() < Duration::from_secs(1));
    traffic.end().await;
}

#[tokio::test]
async fn a_process_that_falls_silent_is_spared_as_soon_as_a_call_was_in_vain() {
    let (steady, silent) = (Process::start().await, Process::start().await);
    let proxy = Proxy::start(&format!("redis://{}", silent.address)).await;
    let names = Names::default();
    names.list(&[steady.address, proxy.url().trim_start_matches("redis://").parse().unwrap()]);
    let mut client = names.client();
    let traffic = Traffic::begin(&client, false);
    called(&silent).await;
    traffic.end().await;
    proxy.stall();
    let call = || {
        let mut request = Request::new(wire::GetModelRequest {});
        request.set_timeout(ms(1200));
        let mut client = client.clone();
        async move { client.get_model(request).await }
    };
    let (one, other) = tokio::join!(call(), call());
    assert!(one.is_ok() != other.is_ok(), "one of the two went to each");
    for _ in 0..50 {
        client.get_model(wire::GetModelRequest {}).await.unwrap();
    }
    proxy.go_on();
    let traffic = Traffic::begin(&client, false);
    called(&silent).await;
    traffic.end().await;
}

#[tokio::test]
async fn nobody_is_unavailable_at_once_and_found_as_soon_as_there_is_somebody() {
    let process = Process::start().await;
    let address = process.address;
    process.stop.cancel();
    eventually(Duration::from_secs(5), || async { TcpListener::bind(address).await.is_ok() }).await;
    let names = Names::default();
    let mut client = names.client();
    let begun = Instant::now();
    let unknown = client.get_model(wire::GetModelRequest {}).await.unwrap_err();
    names.list(&[address]);
    eventually(Duration::from_secs(5), || async {
        // Known by now, and nobody is there.
        client.clone().get_model(wire::GetModelRequest {}).await.unwrap_err().code() == Code::Unavailable
    })
    .await;
    assert_eq!(unknown.code(), Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let process = Process::at(address).await;
    eventually(Duration::from_secs(2), || async { client.clone().get_model(wire::GetModelRequest {}).await.is_ok() })
        .await;
    assert!(process.calls() > 0);
    client.get_model(wire::GetModelRequest {}).await.unwrap();
}
