use std::sync::atomic::Ordering;
use std::time::Duration;

use action::Tier;
use futures::future::join_all;
use proto::management::v1::{GetTenantRequest, ResolveCredentialRequest};
use proto::task::v1::ListTasksRequest;
use proto::task::v1::task_service_client::TaskServiceClient;
use service_kit::{HostConfig, Identity, Scope, Scopes};
use testkit::eventually;
use tonic::Code;
use tower::{Service as _, ServiceExt as _};

use crate::mesh::{MANAGEMENT, Mesh, ms, reason, request};

const KEY: (&str, &str) = ("x-api-key", "nbl_tenant_key");

#[tokio::test]
async fn an_outsider_is_who_the_key_says_and_nobody_without_one() {
    let mesh = Mesh::start().await;
    let mut client = mesh.outsider();
    let nobody = client.get_tenant(GetTenantRequest::default()).await.unwrap_err();
    assert_eq!((nobody.code(), reason(&nobody)), (Code::Unauthenticated, "CREDENTIAL_REQUIRED"));

    for credential in [KEY, ("authorization", "Bearer nbl_tenant_key")] {
        client.get_tenant(request(GetTenantRequest::default(), &[credential])).await.unwrap();
        let caller = mesh.management.caller.lock().unwrap().clone().unwrap();
        let (tenant, tier) = caller.tenant().unwrap();
        assert_eq!((tenant.as_str(), tier), ("acme-1", Tier::Advance));
        assert!(!caller.admitted && caller.service.is_none(), "an outsider is no service");
    }
    let wrong = client.get_tenant(request(GetTenantRequest::default(), &[("x-api-key", "nbl_wrong_key")])).await;
    assert_eq!(reason(&wrong.unwrap_err()), "CREDENTIAL_INVALID");
}

/// The body of a request that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, tonic::Status>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn who_proves_nothing_holds_no_place_with_a_body_that_never_comes() {
    let mesh = Mesh::with(HostConfig { max_calls: 1, ..HostConfig::anywhere() }).await;
    let mut channel = mesh.channel();
    for _ in 0..3 {
        let call = http::Request::post(format!("/{MANAGEMENT}/GetTenant"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "99999999H")
            .body(tonic::body::Body::new(Never))
            .unwrap();
        let channel = channel.ready().await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), channel.call(call)).await.unwrap().unwrap();
        let status = tonic::Status::from_header_map(answer.headers()).unwrap();
        assert_eq!((status.code(), reason(&status)), (Code::Unauthenticated, "CREDENTIAL_REQUIRED"));
    }
}

#[tokio::test]
async fn a_forged_identity_is_refused_even_beside_a_good_key() {
    let mesh = Mesh::start().await;
    let mut client = mesh.outsider();
    let admin = service_kit::Caller {
        scopes: Scopes::from([Scope::Admin]),
        service: Some("gateway".to_owned()),
        ..service_kit::Caller::default()
    };
    let foreign = service_kit::Signer::new(&service_kit::Secret::new("another mesh"));
    let foreign = foreign.sign(&admin, Duration::from_secs(30));
    for identity in ["", "e30.e30", foreign.as_str()] {
        let headers = [("x-nooble-identity", identity), KEY];
        let refused = client.get_tenant(request(GetTenantRequest::default(), &headers)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (Code::Unauthenticated, "IDENTITY_FORGED"), "{identity}");
    }
    let good = mesh.kit.signer.sign(&admin, Duration::from_secs(30));
    let twice = [("x-nooble-identity", good.as_str()), ("x-nooble-identity", good.as_str())];
    let refused = client.get_tenant(request(GetTenantRequest::default(), &twice)).await.unwrap_err();
    assert_eq!(reason(&refused), "IDENTITY_FORGED");
    client.get_tenant(request(GetTenantRequest::default(), &twice[..1])).await.unwrap();
}

#[tokio::test]
async fn only_a_service_resolves_credentials() {
    let mesh = Mesh::start().await;
    let asking = ResolveCredentialRequest { credential: "nbl_admin_key".to_owned() };
    let refused = mesh.outsider().resolve_credential(request(asking, &[KEY])).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
}

#[tokio::test]
async fn callers_with_the_same_key_at_once_cause_one_question_and_its_answer_is_forgotten_soon() {
    let mesh = Mesh::start().await;
    *mesh.management.pause.lock().unwrap() = ms(50);
    let resolver = &mesh.kit.resolver;
    for answer in join_all((0..50).map(|_| resolver.resolve("nbl_tenant_key"))).await {
        assert_eq!(answer.unwrap().tenant().unwrap().0.as_str(), "acme-1");
    }
    assert_eq!(mesh.management.resolved.load(Ordering::Relaxed), 1);
    for answer in join_all((0..50).map(|_| resolver.resolve("nbl_wrong_key"))).await {
        assert_eq!(answer.unwrap_err().reason().id, "CREDENTIAL_INVALID");
    }
    assert_eq!(mesh.management.resolved.load(Ordering::Relaxed), 2);
    eventually(Duration::from_secs(5), || async {
        resolver.resolve("nbl_tenant_key").await.unwrap();
        mesh.management.resolved.load(Ordering::Relaxed) > 2
    })
    .await;
}

#[tokio::test]
async fn nobody_gets_in_while_management_is_away_and_the_absence_is_not_remembered() {
    let mesh = Mesh::start().await;
    mesh.management.away.store(true, Ordering::Relaxed);
    let refused = mesh.outsider().get_tenant(request(GetTenantRequest::default(), &[KEY])).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, "UNAVAILABLE"));
    mesh.management.away.store(false, Ordering::Relaxed);
    mesh.outsider().get_tenant(request(GetTenantRequest::default(), &[KEY])).await.unwrap();
}

#[tokio::test]
async fn a_mesh_without_management_lets_nobody_in() {
    // A port that was free a moment ago, and where nobody listens now.
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mesh = Mesh::adjusted(service_kit::HostConfig::anywhere(), |config| {
        config.peers = service_kit::PeersConfig::all_at(nowhere);
    })
    .await;
    let mut tasks = TaskServiceClient::new(mesh.channel());
    let refused = tasks.list_tasks(request(ListTasksRequest::default(), &[KEY])).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, "UNAVAILABLE"));
    let agent = "agent-1".parse().unwrap();
    let identity = Identity::tenant("acme-1".parse().unwrap(), Tier::Free);
    let refused = mesh.kit.admission.access_agent(identity, &agent).await.unwrap_err();
    assert_eq!((refused.reason().id, refused.is_transient()), ("UNAVAILABLE", true));
}

#[tokio::test]
async fn a_service_calls_on_behalf_of_a_tenant_and_says_who_it_is() {
    let mesh = Mesh::start().await;
    let identity = Identity::tenant("acme-1".parse().unwrap(), Tier::Free);
    mesh.kit.peers.management(&identity).get_tenant(GetTenantRequest::default()).await.unwrap();
    let caller = mesh.management.caller.lock().unwrap().clone().unwrap();
    assert_eq!(caller.service.as_deref(), Some("test"));
    assert_eq!(caller.tenant().unwrap().1, Tier::Free);
    assert!(caller.admitted, "its limits were charged where the work came in");
}
