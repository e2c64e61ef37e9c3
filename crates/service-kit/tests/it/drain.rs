use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use action::Domain;
use proto::management::v1::GetTenantRequest;
use service_kit::{Error, Host, HostConfig, Service};
use testkit::eventually;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::mesh::{Mesh, ms, reason, request};

#[tokio::test]
async fn a_drain_ends_within_its_grace_with_a_stuck_call_and_a_stuck_stream() {
    let grace = Duration::from_secs(2);
    let mesh = Mesh::with(HostConfig { grace, ..HostConfig::anywhere() }).await;
    let stuck = GetTenantRequest { tenant_id: "stuck".to_owned() };
    let mut outsider = mesh.outsider();
    let call = tokio::spawn(async move {
        outsider.get_tenant(request(stuck, &[("x-api-key", "nbl_tenant_key")])).await.unwrap_err()
    });
    let mut health = HealthClient::new(mesh.channel());
    let mut stream = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    eventually(Duration::from_secs(5), || async {
        // The first caller is the mesh itself, which resolves the key.
        mesh.management.caller.lock().unwrap().as_ref().is_some_and(|caller| caller.service.is_none())
    })
    .await;

    let begun = Instant::now();
    mesh.stop.cancel();
    eventually(grace, || async { mesh.admin("/readyz").await.0 == 503 }).await;
    mesh.host.await.unwrap().unwrap();
    assert!(begun.elapsed() < grace + Duration::from_secs(1), "{:?}", begun.elapsed());

    let call = call.await.unwrap();
    assert_eq!((call.code(), reason(&call)), (Code::Unavailable, "DRAINING"));
    let ended = loop {
        // First it is told that the process is not serving any more.
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert_eq!((ended.code(), reason(&ended)), (Code::Unavailable, "DRAINING"));
}

#[tokio::test]
async fn a_drain_without_work_is_quick_and_the_port_is_free_again() {
    let mesh = Mesh::start().await;
    let mut outsider = mesh.outsider();
    outsider.get_tenant(request(GetTenantRequest::default(), &[("x-api-key", "nbl_tenant_key")])).await.unwrap();
    let begun = Instant::now();
    mesh.stop.cancel();
    mesh.host.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    Host::bind(HostConfig { grpc: mesh.grpc, admin: Some(mesh.admin), ..HostConfig::default() }).await.unwrap();
}

#[tokio::test]
async fn every_port_that_is_taken_is_named_at_once() {
    let taken = Host::bind(HostConfig::anywhere()).await.unwrap();
    let config = HostConfig { grpc: taken.grpc_address(), admin: taken.admin_address(), ..HostConfig::default() };
    let error = Host::bind(config).await.unwrap_err().to_string();
    assert!(error.contains("GRPC_ADDRESS") && error.contains("ADMIN_ADDRESS"), "{error}");
}

/// Runs a host with one worker until it ends.
async fn run<F>(
    worker: impl FnOnce(tokio_util::sync::CancellationToken) -> F + Send + 'static,
    stop: bool,
) -> Result<(), Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mesh = Mesh::start().await;
    let host = Host::bind(HostConfig { grace: ms(500), ..HostConfig::anywhere() }).await.unwrap();
    let service = Service::new(Domain::Query).work(worker);
    let shutdown = async move {
        if !stop {
            std::future::pending::<()>().await;
        }
    };
    host.serve(service).until(&mesh.kit, shutdown).await
}

#[tokio::test]
async fn workers_end_before_the_host_does() {
    let ended = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&ended);
    let worker = |shutdown: tokio_util::sync::CancellationToken| async move {
        shutdown.cancelled().await;
        tokio::time::sleep(ms(50)).await;
        done.store(true, Ordering::Relaxed);
    };
    run(worker, true).await.unwrap();
    assert!(ended.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_worker_that_ends_by_itself_ends_the_host() {
    let ended = run(|_| async {}, false).await;
    assert!(matches!(ended, Err(Error::Worker)), "{ended:?}");
    let panicked = run(|_| async { panic!("on purpose") }, false).await;
    assert!(matches!(panicked, Err(Error::Worker)), "{panicked:?}");
}
