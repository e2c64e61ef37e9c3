//! The service's actions and façade in a mesh of management, embedding and query, on a Redis of their own.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, ExecutionContext, Status, TaskId, TenantId, Tier};
use fault::Failure;
use models::{EmbeddingConfig, LlmConfig};
use proto::embedding::v1::Vector;
use proto::management::v1::{Collection, CreateApiKeyRequest, CreateCollectionRequest, CreateTenantRequest};
use proto::query::v1::query_service_client::QueryServiceClient;
use proto::query::v1::{
    Chunk, GenerateAnswer, GenerateAnswerRequest, GenerateAnswerResult, GetIndexStatsRequest, IndexChunks,
    IndexChunksRequest, IndexChunksResult, SearchPassages, SearchPassagesRequest, Turn,
};
use proto::task::v1::Task;
use proto::task::v1::frame::Body;
use service_kit::{Caller, Host, HostConfig, Kit, KitConfig, PeersConfig, Scope, Scopes, Secret, Settings};
use session::{Log, Position};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status as Refusal;

const TEXTS: [&str; 3] = [
    "The warranty of the machine lasts twenty four months.",
    "The machine must be descaled every three months with powder.",
    "Our office is open from nine to five on weekdays.",
];

struct Mesh {
    kit: Kit,
    embedder: Arc<dyn models::Embedder>,
    tenant: TenantId,
    tier: Tier,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    host: JoinHandle<()>,
    _redis: testkit::Redis,
    _dir: tempfile::TempDir,
}

impl Mesh {
    /// Starts the mesh with a tenant `acme` that has a collection `manuals`.
    async fn start(tier: Tier) -> Self {
        let redis = testkit::Redis::start().await;
        let dir = tempfile::tempdir().unwrap();
        let host = Host::bind(HostConfig::anywhere()).await.unwrap();
        let address = host.grpc_address();
        let peers = PeersConfig::all_at(address);
        let key = Secret::new("a key for tests of 32 characters");
        let kit = Kit::start(KitConfig::new("test", &redis.url(), dir.path().to_owned(), key, peers)).await.unwrap();
        let embedder = models::open_embedder(&EmbeddingConfig::Hashing).await.unwrap();
        let answerer = models::open_language_model(&LlmConfig::Extractive).unwrap();
        let management = management::Config::read(&mut Settings::default());
        let host = host
            .serve(management::service(management, &kit).await.unwrap())
            .serve(embedding::service(embedding::Config::default(), &kit, Arc::clone(&embedder)).await.unwrap())
            .serve(query::service(query::Config::default(), &kit, answerer).await.unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = kit.clone();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let host = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            host.until(&served, stopped).await.unwrap();
        });
        let tenant: TenantId = "acme".parse().unwrap();
        let mesh = Self { kit, embedder, tenant, tier, address, stop, host, _redis: redis, _dir: dir };
        mesh.settle().await;
        mesh
    }

    async fn settle(&self) {
        let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
        let tier = self.tier.to_proto().into();
        let request = CreateTenantRequest { tenant_id: self.tenant.to_string(), name: "Acme".to_owned(), tier };
        self.kit.peers.management(operator).create_tenant(request).await.unwrap();
        let collection_id = "manuals".to_owned();
        let collection = Collection { name: collection_id.clone(), collection_id, ..Collection::default() };
        let request = CreateCollectionRequest { tenant_id: String::new(), collection: Some(collection) };
        self.kit.peers.management(self.caller()).create_collection(request).await.unwrap();
    }

    async fn end(self) {
        drop(self.stop);
        self.host.await.unwrap();
    }

    fn caller(&self) -> Caller {
        let tenant = service_kit::Tenant { id: self.tenant.clone(), tier: self.tier, active: true };
        Caller { tenant: Some(tenant), scopes: Scopes::from([Scope::Tenant]), ..Caller::default() }
    }

    fn query(&self) -> QueryServiceClient<service_kit::Peer> {
        self.kit.peers.query(self.caller())
    }

    async fn ended(&self, task: &Task) -> Task {
        let id: TaskId = task.task_id.parse().unwrap();
        let now = || async { self.kit.queue.task(&self.tenant, id).await.unwrap().unwrap() };
        testkit::eventually(Duration::from_secs(30), || async { now().await.finished_at.is_some() }).await;
        now().await
    }

    async fn result<R: prost::Message + Default>(&self, task: &Task) -> R {
        let task = self.ended(task).await;
        assert_eq!(task.status(), Status::Completed, "{:?}", task.error);
        R::decode(task.result.unwrap().value.as_slice()).unwrap()
    }

    /// Makes [`TEXTS`] findable.
    async fn index(&self) {
        let texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
        let vectors = self.embedder.embed(&texts).await.unwrap().vectors;
        let chunk = |((index, text), values): ((u32, String), Vec<f32>)| Chunk {
            index,
            start: u64::from(index) * 100,
            end: u64::from(index) * 100 + text.chars().count() as u64,
            text,
            vector: Some(Vector { values }),
        };
        let index = IndexChunks {
            collection_id: "manuals".to_owned(),
            document_id: "manual".to_owned(),
            title: "The manual".to_owned(),
            version: 1,
            chunks: (0..).zip(texts).zip(vectors).map(chunk).collect(),
            model: self.embedder.model().name.clone(),
            last: true,
            total_chunks: 3,
        };
        let request = IndexChunksRequest { context: Some(context()), index: Some(index) };
        let task = self.query().index_chunks(request).await.unwrap().into_inner().task.unwrap();
        assert_eq!(self.result::<IndexChunksResult>(&task).await.indexed, 3);
    }
}

fn context() -> proto::action::v1::ExecutionContext {
    ExecutionContext::collection("manuals".parse().unwrap()).to_proto()
}

fn question(text: &str) -> GenerateAnswer {
    let collection_ids = vec!["manuals".to_owned()];
    GenerateAnswer { query: text.to_owned(), collection_ids, ..GenerateAnswer::default() }
}

fn search(text: &str) -> SearchPassages {
    let collection_ids = vec!["manuals".to_owned()];
    SearchPassages { query: text.to_owned(), collection_ids, ..SearchPassages::default() }
}

fn searching(search: SearchPassages) -> SearchPassagesRequest {
    SearchPassagesRequest { context: Some(context()), search: Some(search), callback_queue: String::new() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, reason: &str, field: &str) {
    let failure = Failure::from_status(&outcome.unwrap_err());
    assert_eq!((failure.reason().id, failure.field_name().unwrap_or_default()), (reason, field), "{failure}");
}

#[tokio::test]
async fn an_answer_is_streamed_to_the_session_and_names_what_it_cites() {
    let mesh = Mesh::start(Tier::Enterprise).await;
    mesh.index().await;
    let generate = GenerateAnswer { stream: true, ..question("How long does the warranty of the machine last?") };
    let request = GenerateAnswerRequest {
        context: Some(context()),
        generate: Some(generate),
        session_id: "session-1".to_owned(),
        callback_queue: String::new(),
    };
    let task = mesh.query().generate_answer(request).await.unwrap().into_inner().task.unwrap();
    let answer: GenerateAnswerResult = mesh.result(&task).await;
    assert!(answer.found && answer.response.contains(TEXTS[0]), "{answer:?}");
    assert_eq!(answer.model_used, "extractive");
    let source = &answer.sources[0];
    assert_eq!((source.passage.as_str(), source.title.as_str(), source.index), (TEXTS[0], "The manual", 1));

    let log = Log::session(&mesh.tenant, &"session-1".parse().unwrap());
    let page = mesh.kit.sessions.read(&log, Position::default(), 100).await.unwrap();
    let delta = |body| match body {
        Some(Body::AgentDelta(delta)) => Some(delta.text),
        _ => None,
    };
    let streamed: String = page.frames.into_iter().filter_map(|frame| delta(frame.body)).collect();
    assert_eq!(streamed, answer.response);

    let task = mesh.ended(&task).await;
    let steps: Vec<&str> = task.events.iter().map(|event| event.name.as_str()).collect();
    let at = |name: &str| steps.iter().position(|step| *step == name);
    assert!(
        at("embedded").is_some() && at("embedded") < at("retrieved") && at("retrieved") < at("answered"),
        "{steps:?}"
    );
    // The question's tokens and the answer's, each once.
    assert_eq!(task.tokens_used.map(|tokens| tokens.total), answer.tokens_used.map(|tokens| tokens.total));
    mesh.end().await;
}

#[tokio::test]
async fn a_question_without_an_answer_is_told_so_plainly() {
    let mesh = Mesh::start(Tier::Enterprise).await;
    mesh.index().await;
    let request = GenerateAnswerRequest {
        context: Some(context()),
        generate: Some(question("Which river crosses Vienna?")),
        ..GenerateAnswerRequest::default()
    };
    let task = mesh.query().generate_answer(request).await.unwrap().into_inner().task.unwrap();
    let answer: GenerateAnswerResult = mesh.result(&task).await;
    assert_eq!((answer.found, answer.sources.len(), answer.response.as_str()), (false, 0, models::NOT_FOUND));
    mesh.end().await;
}

#[tokio::test]
async fn requests_outside_their_bounds_are_refused_and_cost_nothing() {
    let mesh = Mesh::start(Tier::Free).await;
    let mut query = mesh.query();
    let mut try_search = async |search| query.search_passages(searching(search)).await;
    refused(try_search(search(" ")).await, "INVALID_FIELD", "query");
    refused(try_search(search(&"x".repeat(501))).await, "INVALID_FIELD", "query");
    refused(try_search(SearchPassages { limit: 6, ..search("text") }).await, "INVALID_FIELD", "limit");
    let none = SearchPassages { collection_ids: Vec::new(), ..search("text") };
    refused(try_search(none).await, "INVALID_FIELD", "collection_ids");
    for wrong in [1.5, -1.5, f64::NAN, f64::INFINITY] {
        let threshold = SearchPassages { similarity_threshold: Some(wrong), ..search("text") };
        refused(try_search(threshold).await, "INVALID_FIELD", "similarity_threshold");
    }
    let nowhere = SearchPassages { collection_ids: vec!["nowhere".to_owned()], ..search("text") };
    refused(try_search(nowhere).await, "COLLECTION_NOT_FOUND", "collection_id");

    let contextless = SearchPassagesRequest { search: Some(search("text")), ..SearchPassagesRequest::default() };
    refused(mesh.query().search_passages(contextless).await, "INVALID_FIELD", "context");
    let callback_queue = "orchestrator:someone-else:callbacks".to_owned();
    let foreign = SearchPassagesRequest { callback_queue, ..searching(search("text")) };
    refused(mesh.query().search_passages(foreign).await, "INVALID_QUEUE_NAME", "callback_queue");
    let long = GenerateAnswerRequest {
        context: Some(context()),
        generate: Some(question(&"x".repeat(4001))),
        ..GenerateAnswerRequest::default()
    };
    refused(mesh.query().generate_answer(long).await, "INVALID_FIELD", "query");
    let chunk = Chunk { text: "x".repeat(queue::MAX_PAYLOAD), vector: Some(Vector::default()), ..Chunk::default() };
    let (collection_id, document_id) = ("manuals".to_owned(), "manual".to_owned());
    let index = IndexChunks { collection_id, document_id, chunks: vec![chunk], ..IndexChunks::default() };
    let large = IndexChunksRequest { context: Some(context()), index: Some(index) };
    refused(mesh.query().index_chunks(large).await, "PAYLOAD_TOO_LARGE", "payload");

    let metadata = [("note".to_owned(), "x".repeat(20 * 1024))].into();
    let envelope = proto::action::v1::ExecutionContext { metadata, ..context() };
    let large = SearchPassagesRequest { context: Some(envelope), ..searching(search("text")) };
    refused(mesh.query().search_passages(large).await, "PAYLOAD_TOO_LARGE", "payload");

    let windows = mesh.kit.quota.status(&mesh.tenant, Tier::Free).await.unwrap();
    assert!(windows.iter().all(|window| window.remaining == window.limit), "{windows:?}");
    // The same bounds hold for actions that come by the queue.
    let payload = SearchPassages { limit: 6, ..search("text") };
    let collection = ExecutionContext::collection("manuals".parse().unwrap());
    let action = Action::root(mesh.tenant.clone(), Tier::Free, collection, &payload);
    let task = mesh.kit.queue.submit(action).await.unwrap().task;
    let ended = mesh.ended(&task).await;
    assert_eq!((ended.status(), ended.error.unwrap().field.as_str()), (Status::Failed, "limit"));
    mesh.end().await;
}

fn wrong_questions() -> Vec<(GenerateAnswer, &'static str)> {
    let turn = Turn { role: "user".to_owned(), content: "text".to_owned() };
    vec![
        (GenerateAnswer { max_tokens: 8193, ..question("text") }, "max_tokens"),
        (GenerateAnswer { model: "m".repeat(101), ..question("text") }, "model"),
        (GenerateAnswer { system_prompt: "p".repeat(16_001), ..question("text") }, "system_prompt"),
        (GenerateAnswer { history: vec![turn; 101], ..question("text") }, "history"),
        (GenerateAnswer { top_k: 6, ..question("text") }, "top_k"),
        (GenerateAnswer { max_sources: 6, ..question("text") }, "max_sources"),
        (GenerateAnswer { relevance_threshold: Some(f64::NAN), ..question("text") }, "relevance_threshold"),
    ]
}

fn asking(generate: GenerateAnswer) -> GenerateAnswerRequest {
    GenerateAnswerRequest { context: Some(context()), generate: Some(generate), ..GenerateAnswerRequest::default() }
}

#[tokio::test]
async fn questions_outside_their_bounds_are_refused_at_the_facade_and_by_the_worker() {
    let mesh = Mesh::start(Tier::Free).await;
    for (wrong, field) in wrong_questions() {
        refused(mesh.query().generate_answer(asking(wrong.clone())).await, "INVALID_FIELD", field);
        let collection = ExecutionContext::collection("manuals".parse().unwrap());
        let action = Action::root(mesh.tenant.clone(), Tier::Free, collection, &wrong);
        let task = mesh.kit.queue.submit(action).await.unwrap().task;
        let error = mesh.ended(&task).await.error.unwrap();
        assert_eq!((error.reason.as_str(), error.field.as_str()), ("INVALID_FIELD", field));
    }
    let turn = Turn { role: "user".to_owned(), content: "text".to_owned() };
    let most = GenerateAnswer {
        max_tokens: 8192,
        system_prompt: "p".repeat(16_000),
        history: vec![turn; 100],
        top_k: 5,
        max_sources: 5,
        ..question("text")
    };
    mesh.query().generate_answer(asking(most)).await.unwrap();
    mesh.end().await;
}

#[tokio::test]
async fn the_history_and_the_context_of_an_outside_caller_are_bounded() {
    let mesh = Mesh::start(Tier::Free).await;
    let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
    let key = CreateApiKeyRequest { tenant_id: mesh.tenant.to_string(), name: "key".to_owned(), ..Default::default() };
    let key = mesh.kit.peers.management(operator).create_api_key(key).await.unwrap().into_inner().secret;
    let channel = tonic::transport::Endpoint::try_from(format!("http://{}", mesh.address)).unwrap().connect_lazy();
    let mut outside = QueryServiceClient::with_interceptor(channel, move |mut call: tonic::Request<()>| {
        call.metadata_mut().insert("x-api-key", key.parse().unwrap());
        Ok(call)
    });
    let turn = Turn { role: "user".to_owned(), content: "text".to_owned() };
    let history = |turns| GenerateAnswer { history: vec![turn.clone(); turns], ..question("text") };
    refused(outside.generate_answer(asking(history(6))).await, "INVALID_FIELD", "history");
    outside.generate_answer(asking(history(5))).await.unwrap();
    let mut crowded = asking(history(0));
    crowded.context.as_mut().unwrap().agents = vec!["agent-1".to_owned(); 17];
    refused(outside.generate_answer(crowded).await, "INVALID_FIELD", "context.agents");
    mesh.end().await;
}

#[tokio::test]
async fn a_long_question_of_a_low_tier_is_answered() {
    let mesh = Mesh::start(Tier::Free).await;
    mesh.index().await;
    let text = format!("How long does the warranty of the machine last? {}", "Please. ".repeat(480));
    let request = GenerateAnswerRequest {
        context: Some(context()),
        generate: Some(GenerateAnswer { relevance_threshold: Some(0.01), ..question(&text) }),
        ..GenerateAnswerRequest::default()
    };
    let task = mesh.query().generate_answer(request).await.unwrap().into_inner().task.unwrap();
    assert!(mesh.result::<GenerateAnswerResult>(&task).await.response.contains("twenty four"));
    let stats = GetIndexStatsRequest { collection_id: "manuals".to_owned() };
    let stats = mesh.query().get_index_stats(stats).await.unwrap().into_inner();
    assert_eq!((stats.documents, stats.chunks), (1, 3));
    mesh.end().await;
}
