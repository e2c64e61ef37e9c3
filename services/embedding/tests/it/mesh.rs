//! The service's façade and worker on a Redis of their own.

use std::time::Duration;

use action::{ExecutionContext, Status, TaskId, TenantId, Tier};
use embedding::{Config, service};
use fault::Failure;
use models::EmbeddingConfig;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsRequest, GenerateEmbeddingsResult, GetModelRequest};
use service_kit::{Caller, Host, HostConfig, Kit, KitConfig, PeersConfig, Scope, Scopes, Secret};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Mesh {
    kit: Kit,
    tenant: TenantId,
    stop: oneshot::Sender<()>,
    host: JoinHandle<()>,
    _redis: testkit::Redis,
    _dir: tempfile::TempDir,
}

impl Mesh {
    async fn start() -> Self {
        let redis = testkit::Redis::start().await;
        let dir = tempfile::tempdir().unwrap();
        let host = Host::bind(HostConfig::anywhere()).await.unwrap();
        let peers = PeersConfig::all_at(host.grpc_address());
        let key = Secret::new("a key for tests of 32 characters");
        let kit = Kit::start(KitConfig::new("test", &redis.url(), dir.path().to_owned(), key, peers)).await.unwrap();
        let embedder = models::open_embedder(&EmbeddingConfig::Hashing).await.unwrap();
        let host = host.serve(service(Config::default(), &kit, embedder).await.unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = kit.clone();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let host = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            host.until(&served, stopped).await.unwrap();
        });
        Self { kit, tenant: "acme".parse().unwrap(), stop, host, _redis: redis, _dir: dir }
    }

    async fn end(self) {
        drop(self.stop);
        self.host.await.unwrap();
    }

    fn client(&self) -> proto::embedding::v1::embedding_service_client::EmbeddingServiceClient<service_kit::Peer> {
        let tenant = service_kit::Tenant { id: self.tenant.clone(), tier: Tier::Free, active: true };
        let scopes = Scopes::from([Scope::Tenant]);
        self.kit.peers.embedding(Caller { tenant: Some(tenant), scopes, ..Caller::default() })
    }
}

fn request(texts: &[&str]) -> GenerateEmbeddingsRequest {
    let context = ExecutionContext::agent("agent-1".parse().unwrap()).to_proto();
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    GenerateEmbeddingsRequest {
        context: Some(context),
        generate: Some(GenerateEmbeddings { texts, model: String::new() }),
        callback_queue: String::new(),
    }
}

#[tokio::test]
async fn texts_become_vectors_of_unit_length_in_their_order() {
    let mesh = Mesh::start().await;
    let model = mesh.client().get_model(GetModelRequest {}).await.unwrap().into_inner();
    let request = request(&["a warranty of two years", "an open office", "a warranty of two years"]);
    let task = mesh.client().generate_embeddings(request).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.queue_name, "embedding:agent-1:free");
    let id: TaskId = task.task_id.parse().unwrap();
    let now = || async { mesh.kit.queue.task(&mesh.tenant, id).await.unwrap().unwrap() };
    testkit::eventually(Duration::from_secs(20), || async { now().await.finished_at.is_some() }).await;
    let task = now().await;
    assert_eq!(task.status(), Status::Completed, "{:?}", task.error);
    let result = <GenerateEmbeddingsResult as prost::Message>::decode(task.result.unwrap().value.as_slice()).unwrap();
    assert_eq!((result.embeddings.len(), result.model.as_str()), (3, model.model.as_str()));
    assert_eq!(result.embeddings[0], result.embeddings[2]);
    assert_ne!(result.embeddings[0], result.embeddings[1]);
    for vector in &result.embeddings {
        assert_eq!(vector.values.len(), model.dimensions as usize);
        assert!((vector.values.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert!(task.tokens_used.is_some_and(|tokens| tokens.input > 0 && tokens.output == 0));
    assert!(model.relevance_threshold > 0.0 && model.window > 0);
    mesh.end().await;
}

#[tokio::test]
async fn requests_outside_their_bounds_are_refused_by_field_and_cost_nothing() {
    let mesh = Mesh::start().await;
    let with = |change: fn(&mut GenerateEmbeddingsRequest)| {
        let mut request = request(&["text"]);
        change(&mut request);
        request
    };
    let long = "x".repeat(2001);
    let cases = [
        (request(&[]), "INVALID_FIELD", "texts"),
        (request(&["x"; 11]), "INVALID_FIELD", "texts"),
        (request(&["text", " "]), "INVALID_FIELD", "texts[1]"),
        (request(&[&long]), "INVALID_FIELD", "texts[0]"),
        (with(|request| request.generate.as_mut().unwrap().model = "gpt".to_owned()), "INVALID_FIELD", "model"),
        (with(|request| request.generate = None), "INVALID_FIELD", "generate"),
        (with(|request| request.context = None), "INVALID_FIELD", "context"),
        (
            with(|request| request.callback_queue = "orchestrator:other:callbacks".to_owned()),
            "INVALID_QUEUE_NAME",
            "callback_queue",
        ),
        (with(|request| request.callback_queue = "orchestrator".to_owned()), "INVALID_QUEUE_NAME", "callback_queue"),
        (
            with(|request| request.context.as_mut().unwrap().context_id = "agent-x:y".to_owned()),
            "INVALID_FIELD",
            "context_id",
        ),
    ];
    for (request, reason, field) in cases {
        let failure = Failure::from_status(&mesh.client().generate_embeddings(request).await.unwrap_err());
        assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)), "{failure}");
    }
    let windows = mesh.kit.quota.status(&mesh.tenant, Tier::Free).await.unwrap();
    assert!(windows.iter().all(|window| window.remaining == window.limit), "{windows:?}");
    mesh.end().await;
}
