use std::time::Duration;

use futures::future::join_all;
use proto::management::v1::GetTenantRequest;
use service_kit::identity::ResolverConfig;
use service_kit::{HostConfig, Identity};
use tonic::Code;

use crate::mesh::{MANAGEMENT, Mesh, http_client, ms, reason, request};

fn stuck() -> GetTenantRequest {
    GetTenantRequest { tenant_id: "stuck".to_owned() }
}

#[tokio::test]
async fn a_call_that_names_no_deadline_has_the_default() {
    let mesh = Mesh::with(HostConfig { deadline: ms(100), ..HostConfig::anywhere() }).await;
    let call = request(stuck(), &[("x-api-key", "nbl_tenant_key")]);
    let status = mesh.outsider().get_tenant(call).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

/// The call goes out by hand: tonic's client has a timer of its own, which would answer before the server.
#[tokio::test]
async fn the_servers_timer_wins_over_tonics_every_time() {
    let mesh = Mesh::start().await;
    let client = http_client().http2_prior_knowledge().build().unwrap();
    let message = prost::Message::encode_to_vec(&stuck());
    let length = u8::try_from(message.len()).unwrap();
    let body = [&[0, 0, 0, 0, length], message.as_slice()].concat();
    let calls = (0..100).map(|number: u32| {
        let call = client
            .post(format!("http://{}/{MANAGEMENT}/GetTenant", mesh.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-api-key", "nbl_tenant_key")
            .header("grpc-timeout", format!("{}u", 30_000 + number * 137))
            .body(body.clone());
        async move { call.send().await.unwrap().headers()["grpc-status"].to_str().unwrap().to_owned() }
    });
    let exceeded = i32::from(Code::DeadlineExceeded).to_string();
    assert_eq!(join_all(calls).await, vec![exceeded; 100]);
}

#[tokio::test]
async fn the_clients_timer_says_the_same() {
    let mesh = Mesh::start().await;
    let calls = (0..20).map(|_| async {
        let mut call = tonic::Request::new(stuck());
        call.set_timeout(ms(50));
        mesh.kit.peers.management(Identity::service()).get_tenant(call).await.unwrap_err()
    });
    for status in join_all(calls).await {
        assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    }
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline_that_its_caller_names_and_only_then() {
    let mesh = Mesh::with(HostConfig { deadline: ms(100), ..HostConfig::anywhere() }).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(mesh.channel());
    let asking = || tonic_health::pb::HealthCheckRequest { service: String::new() };
    let mut endless = health.watch(asking()).await.unwrap().into_inner();
    let mut call = tonic::Request::new(asking());
    call.set_timeout(ms(300));
    let mut bounded = health.watch(call).await.unwrap().into_inner();
    bounded.message().await.unwrap().unwrap();
    let ended = bounded.message().await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    endless.message().await.unwrap().unwrap();
    assert!(tokio::time::timeout(ms(200), endless.message()).await.is_err(), "nothing happens and nothing ends");
}

#[tokio::test]
async fn more_calls_than_there_is_room_for_are_refused_at_once() {
    let config = HostConfig { max_calls: 1, ..HostConfig::anywhere() };
    let mesh = Mesh::adjusted(config, |config| config.resolver = ResolverConfig::default()).await;
    let key = [("x-api-key", "nbl_tenant_key")];
    // Resolving the key is a call of this very mesh, so it must happen before the only place is taken.
    mesh.kit.resolver.resolve("nbl_tenant_key").await.unwrap();
    *mesh.management.caller.lock().unwrap() = None;
    let mut held = mesh.outsider();
    let holding =
        tokio::spawn(async move { held.get_tenant(request(stuck(), &[("x-api-key", "nbl_tenant_key")])).await });
    testkit::eventually(Duration::from_secs(5), || async { mesh.management.caller.lock().unwrap().is_some() }).await;
    let refused = mesh.outsider().get_tenant(request(GetTenantRequest::default(), &key)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::ResourceExhausted, "OVERLOADED"));
    let mut health = tonic_health::pb::health_client::HealthClient::new(mesh.channel());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    holding.abort();
}

#[tokio::test]
async fn a_panic_is_the_internal_error_of_its_call() {
    let mesh = Mesh::start().await;
    let mut client = mesh.outsider();
    let key = [("x-api-key", "nbl_tenant_key")];
    let panicking = GetTenantRequest { tenant_id: "panic".to_owned() };
    let status = client.get_tenant(request(panicking, &key)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Internal, "INTERNAL"));
    client.get_tenant(request(GetTenantRequest::default(), &key)).await.unwrap();
}
