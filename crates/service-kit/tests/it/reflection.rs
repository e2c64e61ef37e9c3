use futures::stream;
use proto::management::v1::GetTenantRequest;
use service_kit::{HostConfig, Identity, Part};

use crate::mesh::{MANAGEMENT, Mesh};

/// Asks one version of reflection for the services and for the file of one of them.
macro_rules! listed {
    ($mesh:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let asking = stream::iter([
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("grpc.health.v1.Health".to_owned())),
        ]);
        let mut client = ServerReflectionClient::new($mesh.channel());
        let mut answers = client.server_reflection_info(asking).await.unwrap().into_inner();
        let mut names = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => {
                    names.extend(list.service.into_iter().map(|service| service.name));
                }
                MessageResponse::FileDescriptorResponse(file) => assert!(!file.file_descriptor_proto.is_empty()),
                other => panic!("{other:?}"),
            }
        }
        names
    }};
}

#[tokio::test]
async fn both_versions_list_what_is_served_and_nothing_else() {
    let mesh = Mesh::start().await;
    for (names, own) in [
        (listed!(mesh, v1), "grpc.reflection.v1.ServerReflection"),
        (listed!(mesh, v1alpha), "grpc.reflection.v1alpha.ServerReflection"),
    ] {
        let expected =
            [MANAGEMENT, "nooble.task.v1.TaskService", "nooble.queue.v1.QueueService", "grpc.health.v1.Health", own];
        for name in expected {
            assert!(names.iter().any(|listed| listed == name), "{name} in {names:?}");
        }
        assert_eq!(names.len(), expected.len(), "{names:?}");
    }
}

#[tokio::test]
async fn a_worker_process_has_health_and_reflection_only() {
    let mesh = Mesh::with(HostConfig { part: Part::Worker, ..HostConfig::anywhere() }).await;
    let mut names = listed!(mesh, v1);
    names.sort();
    assert_eq!(names, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
    let mut management = mesh.kit.peers.management(Identity::service());
    let refused = management.get_tenant(GetTenantRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
}
