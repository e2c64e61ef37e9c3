//! Certificates between services.

use std::sync::Arc;
use std::time::Duration;

use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::management::v1::{GetTenantRequest, ResolveCredentialRequest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use service_kit::tls::{ClientCertificate, MeshTls, MeshTlsConfig, TlsFiles};
use service_kit::{HostConfig, Identity, Peers, PeersConfig, Reach, Settings};
use testkit::{Authority, Issued, eventually};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Error};

use crate::mesh::{Mesh, reason, request};

fn config(issued: &Issued, authority: &Authority) -> MeshTlsConfig {
    MeshTlsConfig {
        files: TlsFiles { cert: issued.cert.clone(), key: issued.key.clone() },
        ca: authority.ca(),
        allowed_names: Vec::new(),
        client: ClientCertificate::Required,
    }
}

async fn mesh(tls: MeshTlsConfig) -> Mesh {
    Mesh::adjusted(HostConfig::anywhere(), |config| config.mesh_tls = Some(tls)).await
}

/// Calls as a process of the mesh with other certificates would.
async fn call(mesh: &Mesh, tls: Option<&MeshTlsConfig>) -> Result<(), Code> {
    let reach = Reach { tls: tls.map(|tls| MeshTls::open(tls).unwrap()), ..Reach::default() };
    let peers = Peers::reaching("other", mesh.kit.signer.clone(), &PeersConfig::all_at(mesh.grpc), &reach);
    let mut request = tonic::Request::new(ResolveCredentialRequest { credential: "nbl_tenant_key".to_owned() });
    request.set_timeout(Duration::from_secs(5));
    peers.management(Identity::service()).resolve_credential(request).await.map(drop).map_err(|status| status.code())
}

/// Connects with TLS and without a certificate, trusting an authority.
async fn without_certificate(mesh: &Mesh, authority: &Authority) -> Result<Channel, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (connector, address) = (tokio_rustls::TlsConnector::from(Arc::new(config)), mesh.grpc);
    let connect = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            connector.connect(name, stream).await.map(hyper_util::rt::TokioIo::new)
        }
    });
    Endpoint::try_from(format!("http://{address}")).unwrap().connect_with_connector(connect).await
}

#[tokio::test]
async fn services_talk_with_certificates_and_nobody_else_gets_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let own = config(&authority.issue("own", &["127.0.0.1"]), &authority);
    let mesh = mesh(own.clone()).await;
    assert_eq!(call(&mesh, Some(&own)).await, Ok(()));
    // Nothing else gets as far as a call.
    assert_eq!(call(&mesh, None).await, Err(Code::Unavailable), "plain");
    let mut outsider = mesh.outsider();
    let plain = outsider.get_tenant(request(GetTenantRequest::default(), &[("x-api-key", "nbl_tenant_key")]));
    assert_ne!(plain.await.unwrap_err().code(), Code::Unauthenticated, "plain, not even refused in words");
    let strange = MeshTlsConfig { ca: authority.ca(), ..config(&other.issue("own", &["127.0.0.1"]), &other) };
    assert_eq!(call(&mesh, Some(&strange)).await, Err(Code::Unavailable), "of another authority");
    let expired = config(&authority.issue_expired("old", &["127.0.0.1"]), &authority);
    assert_eq!(call(&mesh, Some(&expired)).await, Err(Code::Unavailable), "expired");
    let trusting_others = MeshTlsConfig { ca: other.ca(), ..own.clone() };
    assert_eq!(call(&mesh, Some(&trusting_others)).await, Err(Code::Unavailable), "the server is not trusted");
    if let Ok(channel) = without_certificate(&mesh, &authority).await {
        let mut bare = ManagementServiceClient::new(channel);
        let asked = request(GetTenantRequest::default(), &[("x-api-key", "nbl_tenant_key")]);
        assert_ne!(bare.get_tenant(asked).await.unwrap_err().code(), Code::Unauthenticated, "no certificate");
    }
    assert!(mesh.management.caller.lock().unwrap().as_ref().unwrap().service.is_some(), "only the mesh was heard");
}

#[tokio::test]
async fn a_server_with_another_name_is_not_called() {
    let authority = Authority::new();
    let mesh = mesh(config(&authority.issue("wrong", &["10.0.0.1", "elsewhere"]), &authority)).await;
    let own = config(&authority.issue("own", &["127.0.0.1"]), &authority);
    assert_eq!(call(&mesh, Some(&own)).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn callers_carry_one_of_the_names_that_are_allowed() {
    let authority = Authority::new();
    let own = config(&authority.issue("own", &["127.0.0.1", "spiffe://nooble/gateway"]), &authority);
    let allowed_names = vec!["spiffe://nooble/gateway".to_owned(), "management.mesh".to_owned()];
    let mesh = mesh(MeshTlsConfig { allowed_names, ..own.clone() }).await;
    assert_eq!(call(&mesh, Some(&own)).await, Ok(()));
    let named = config(&authority.issue("named", &["management.mesh"]), &authority);
    assert_eq!(call(&mesh, Some(&named)).await, Ok(()));
    let other = config(&authority.issue("other", &["127.0.0.1", "spiffe://nooble/billing"]), &authority);
    assert_eq!(call(&mesh, Some(&other)).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn callers_without_a_certificate_may_bring_a_key_and_no_identity_of_the_mesh() {
    let authority = Authority::new();
    let own = config(&authority.issue("own", &["127.0.0.1"]), &authority);
    let mesh = mesh(MeshTlsConfig { client: ClientCertificate::Optional, ..own.clone() }).await;
    assert_eq!(call(&mesh, Some(&own)).await, Ok(()));
    let mut bare = ManagementServiceClient::new(without_certificate(&mesh, &authority).await.unwrap());
    bare.get_tenant(request(GetTenantRequest::default(), &[("x-api-key", "nbl_tenant_key")])).await.unwrap();
    let caller = mesh.management.caller.lock().unwrap().clone().unwrap();
    let stolen = mesh.kit.signer.sign(&caller, Duration::from_secs(30));
    let refused = bare.get_tenant(request(GetTenantRequest::default(), &[("x-nooble-identity", &stolen)])).await;
    assert_eq!(reason(&refused.unwrap_err()), "IDENTITY_FORGED");
    assert_eq!(call(&mesh, None).await, Err(Code::Unavailable), "plain connections are none the less refused");
}

#[tokio::test]
async fn certificates_are_exchanged_without_losing_a_connection() {
    let authority = Authority::new();
    let own = config(&authority.issue("own", &["127.0.0.1"]), &authority);
    let mesh = mesh(own.clone()).await;
    let identity = Identity::service();
    let ask = || async {
        let request = ResolveCredentialRequest { credential: "nbl_tenant_key".to_owned() };
        mesh.kit.peers.management(identity.clone()).resolve_credential(request).await.map(drop)
    };
    ask().await.unwrap();
    let before = shown(&mesh, &own).await;
    // What cannot be used changes nothing.
    std::fs::write(&own.files.cert, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(shown_now(&mesh, &authority).await, before);
    ask().await.unwrap();
    authority.issue("own", &["127.0.0.1"]);
    eventually(Duration::from_secs(15), || async {
        ask().await.unwrap();
        shown_now(&mesh, &authority).await != before
    })
    .await;
    ask().await.unwrap();
    assert_eq!(call(&mesh, Some(&own)).await, Ok(()));
}

/// Returns the certificate that a new connection is shown.
async fn shown(mesh: &Mesh, own: &MeshTlsConfig) -> Vec<u8> {
    let stream = TcpStream::connect(mesh.grpc).await.unwrap();
    let stream = MeshTls::open(own).unwrap().connect("127.0.0.1", stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn shown_now(mesh: &Mesh, authority: &Authority) -> Vec<u8> {
    shown(mesh, &config(&authority.issue("looker", &["127.0.0.1"]), authority)).await
}

#[test]
fn settings_that_belong_together_are_all_there_or_named() {
    let authority = Authority::new();
    let own = authority.issue("own", &["127.0.0.1"]);
    let (cert, key, ca) = (own.cert.to_str().unwrap(), own.key.to_str().unwrap(), authority.ca());
    let read = |pairs: &[(&str, &str)]| {
        let mut settings = Settings::from_pairs(pairs);
        let config = service_kit::KitConfig::read(&mut settings, "test");
        (config.mesh_tls, settings.finish().map_err(|invalid| invalid.to_string()))
    };
    let (missing, invalid) = read(&[("MESH_TLS_CERT", cert)]);
    let invalid = invalid.unwrap_err();
    assert!(missing.is_none() && invalid.contains("MESH_TLS_KEY: required, as MESH_TLS_CERT is set"), "{invalid}");
    assert!(invalid.contains("MESH_TLS_CA: required"), "{invalid}");
    let all = [("MESH_TLS_CERT", cert), ("MESH_TLS_KEY", key), ("MESH_TLS_CA", ca.to_str().unwrap())];
    let (given, valid) = read(&all);
    valid.unwrap();
    assert_eq!(given.unwrap().client, ClientCertificate::Required);
    let (_, swapped) = read(&[("MESH_TLS_CERT", key), ("MESH_TLS_KEY", cert), ("MESH_TLS_CA", cert)]);
    let swapped = swapped.unwrap_err();
    assert!(swapped.contains("MESH_TLS_CERT") && swapped.contains("holds no certificate in PEM"), "{swapped}");
    let (_, https) = read(&[("QUERY_URL", "https://query:50051")]);
    assert!(https.unwrap_err().contains("QUERY_URL: https needs MESH_TLS_CERT"));
}
