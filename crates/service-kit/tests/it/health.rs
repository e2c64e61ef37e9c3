use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::eventually;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::mesh::{MANAGEMENT, Mesh};

/// What the architecture promises.
const SOON: Duration = Duration::from_secs(5);

async fn status(client: &HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    client.clone().check(request).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn named_services_tell_whether_redis_is_there_and_the_process_stays_alive() {
    let mut mesh = Mesh::start().await;
    let client = HealthClient::new(mesh.channel());
    let is = |name: &'static str, expected| {
        let client = client.clone();
        move || {
            let client = client.clone();
            async move { status(&client, name).await == expected }
        }
    };
    eventually(SOON, is(MANAGEMENT, ServingStatus::Serving)).await;
    eventually(SOON, is("nooble.task.v1.TaskService", ServingStatus::Serving)).await;

    mesh.redis.pause();
    eventually(SOON, is(MANAGEMENT, ServingStatus::NotServing)).await;
    assert_eq!(status(&client, "").await, ServingStatus::Serving);
    assert_eq!(mesh.admin("/readyz").await.0, 200);
    mesh.redis.resume();
    eventually(SOON, is(MANAGEMENT, ServingStatus::Serving)).await;

    mesh.redis.kill();
    eventually(SOON, is(MANAGEMENT, ServingStatus::NotServing)).await;
    assert_eq!(mesh.admin("/metrics/queues").await.0, 503);
    mesh.redis.restart().await;
    eventually(SOON, is(MANAGEMENT, ServingStatus::Serving)).await;
}

#[tokio::test]
async fn the_admin_port_answers_probes_and_shows_the_queues_without_a_credential() {
    let mesh = Mesh::start().await;
    eventually(SOON, || async { mesh.kit.health.ready() }).await;
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(mesh.admin(path).await.0, 200, "{path}");
    }
    let (status, overview) = mesh.admin("/metrics/overview").await;
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
    assert_eq!((status, &overview["redis"]), (200, &true.into()));
    let management = &overview["domains"]["management"];
    assert_eq!(
        (&management["waiting"], &management["claimed"], &management["paused"]),
        (&0.into(), &0.into(), &false.into())
    );
    let (_, system) = mesh.admin("/metrics/system").await;
    let system: serde_json::Value = serde_json::from_str(&system).unwrap();
    assert_eq!(system["management"]["tiers"]["enterprise"]["items"], 0);
    assert_eq!(system["management"]["oldest_seconds"], serde_json::Value::Null);
    let (_, queues) = mesh.admin("/metrics/queues").await;
    let queues: serde_json::Value = serde_json::from_str(&queues).unwrap();
    let free = &queues["management"]["free"];
    assert_eq!((&free["rate_limit"], &free["queue_count"], &free["total_items"]), (&10.into(), &0.into(), &0.into()));
    assert_eq!((&free["parked"], &free["paused"]), (&0.into(), &false.into()));
    assert!(free["oldest_seconds"].is_null() && free["mean_run_seconds"].is_null(), "{free}");
    assert_eq!(mesh.admin("/other").await.0, 404);
}

#[tokio::test]
async fn a_service_that_says_it_does_not_work_is_not_serving_until_it_does() {
    let mesh = Mesh::start().await;
    let works = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&works);
    mesh.kit.health.watch("own.Service", false, move || asked.load(Ordering::Relaxed));
    let client = HealthClient::new(mesh.channel());
    let request = || HealthCheckRequest { service: "own.Service".to_owned() };
    let says = |expected: ServingStatus| {
        let (client, request) = (client.clone(), request());
        async move { client.clone().check(request).await.is_ok_and(|response| response.into_inner().status() == expected) }
    };
    eventually(SOON, || says(ServingStatus::NotServing)).await;
    works.store(true, Ordering::Relaxed);
    eventually(SOON, || says(ServingStatus::Serving)).await;
    assert_eq!(
        client.clone().check(HealthCheckRequest { service: "no.Service".to_owned() }).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
}
