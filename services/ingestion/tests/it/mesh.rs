//! Management, embedding, query and ingestion in one process, on a Redis of their own.

use std::time::Duration;

use action::{Status, TaskId, TenantId, Tier};
use futures::stream;
use models::{EmbeddingConfig, LlmConfig, Tokens};
use proto::ingestion::v1::upload_document_request::Part;
use proto::ingestion::v1::{
    Document, DocumentHeader, GetDocumentRequest, ProcessDocumentResult, UploadDocumentRequest, UploadDocumentResponse,
};
use proto::management::v1::{Collection, CreateCollectionRequest, CreateTenantRequest};
use proto::query::v1::{
    GenerateAnswer, GenerateAnswerRequest, GenerateAnswerResult, SearchPassages, SearchPassagesRequest,
    SearchPassagesResult,
};
use proto::task::v1::Task;
use service_kit::{Caller, Host, HostConfig, Identity, Kit, KitConfig, PeersConfig, Scope, Scopes, Secret, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status as Refusal;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Mesh {
    pub(crate) kit: Kit,
    pub(crate) redis: testkit::Redis,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    host: JoinHandle<()>,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ingestion::Config) -> Self {
        let redis = testkit::Redis::start().await;
        let dir = tempfile::tempdir().unwrap();
        let host = Host::bind(HostConfig::anywhere()).await.unwrap();
        let address = host.grpc_address();
        let peers = PeersConfig::all_at(address);
        let key = Secret::new("a key for tests of 32 characters");
        let kit = Kit::start(KitConfig::new("test", &redis.url(), dir.path().to_owned(), key, peers)).await.unwrap();
        let embedder = models::open_embedder(&EmbeddingConfig::Hashing).await.unwrap();
        let tokens = Tokens::open(&EmbeddingConfig::Hashing).await.unwrap();
        let answerer = models::open_language_model(&LlmConfig::Extractive).unwrap();
        let mut settings = Settings::default();
        let host = host
            .serve(management::service(management::Config::read(&mut settings), &kit).await.unwrap())
            .serve(embedding::service(embedding::Config::default(), &kit, embedder).await.unwrap())
            .serve(query::service(query::Config::default(), &kit, answerer).await.unwrap())
            .serve(ingestion::service(config, &kit, tokens).await.unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = kit.clone();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let host = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            host.until(&served, stopped).await.unwrap();
        });
        Self { kit, redis, dir, address, stop, host }
    }

    pub(crate) async fn end(self) {
        drop(self.stop);
        self.host.await.unwrap();
    }

    /// Makes a tenant with a collection.
    pub(crate) async fn tenant(&self, name: &str, tier: Tier, collection: &str) -> Who {
        let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
        let (tenant_id, name) = (name.to_owned(), name.to_owned());
        let request = CreateTenantRequest { tenant_id, name: name.clone(), tier: tier.to_proto().into() };
        self.kit.peers.management(operator).create_tenant(request).await.unwrap();
        let who = Who { tenant: name.parse().unwrap(), tier, kit: self.kit.clone() };
        who.collection(collection).await;
        who
    }
}

/// The settings of a service whose PDFs are read by a process of their own.
pub(crate) fn config() -> ingestion::Config {
    let program = env!("CARGO_BIN_EXE_document-reader-under-test").into();
    let reader = Some(ingestion::ReaderProgram::new(program, [""; 0]));
    ingestion::Config { reader, ..ingestion::Config::default() }
}

/// A tenant at work.
pub(crate) struct Who {
    pub(crate) tenant: TenantId,
    tier: Tier,
    kit: Kit,
}

impl Who {
    /// A caller whose limits are charged where it comes in.
    pub(crate) fn identity(&self) -> Identity {
        let tenant = service_kit::Tenant { id: self.tenant.clone(), tier: self.tier, active: true };
        Caller { tenant: Some(tenant), scopes: Scopes::from([Scope::Tenant]), ..Caller::default() }.into()
    }

    pub(crate) async fn collection(&self, name: &str) {
        let collection = Collection { collection_id: name.to_owned(), name: name.to_owned(), ..Collection::default() };
        let request = CreateCollectionRequest { tenant_id: String::new(), collection: Some(collection) };
        self.kit.peers.management(self.identity()).create_collection(request).await.unwrap();
    }

    pub(crate) async fn upload(&self, header: DocumentHeader, bytes: &[u8]) -> Result<UploadDocumentResponse, Refusal> {
        let message = |part| UploadDocumentRequest { part: Some(part) };
        let data = bytes.chunks(100_000).map(|piece| message(Part::Data(piece.to_vec())));
        let messages: Vec<_> = std::iter::once(message(Part::Header(header))).chain(data).collect();
        self.send(messages).await
    }

    pub(crate) async fn send(&self, messages: Vec<UploadDocumentRequest>) -> Result<UploadDocumentResponse, Refusal> {
        let mut client = self.kit.peers.ingestion(self.identity());
        Ok(client.upload_document(stream::iter(messages)).await?.into_inner())
    }

    /// Uploads a document and waits until it can be found.
    pub(crate) async fn ingest(&self, header: DocumentHeader, bytes: &[u8]) -> ProcessDocumentResult {
        let task = self.upload(header, bytes).await.unwrap().task.unwrap();
        self.result(&task).await
    }

    /// Waits for the end of a task.
    pub(crate) async fn ended(&self, task: &Task) -> Task {
        let id: TaskId = task.task_id.parse().unwrap();
        let now = || async { self.kit.queue.task(&self.tenant, id).await.unwrap().unwrap() };
        testkit::eventually(PATIENCE, || async { now().await.finished_at.is_some() }).await;
        now().await
    }

    /// Waits for the result of a task.
    pub(crate) async fn result<R: prost::Message + Default>(&self, task: &Task) -> R {
        let task = self.ended(task).await;
        assert_eq!(task.status(), Status::Completed, "{:?}", task.error);
        R::decode(task.result.unwrap().value.as_slice()).unwrap()
    }

    pub(crate) async fn document(&self, id: &str) -> Result<Document, Refusal> {
        let request = GetDocumentRequest { document_id: id.to_owned() };
        let response = self.kit.peers.ingestion(self.identity()).get_document(request).await?;
        Ok(response.into_inner().document.unwrap())
    }

    pub(crate) async fn search(&self, collection: &str, query: &str) -> SearchPassagesResult {
        let collection_ids = vec![collection.to_owned()];
        let search = SearchPassages { query: query.to_owned(), collection_ids, ..SearchPassages::default() };
        let context = Some(context(collection));
        let request = SearchPassagesRequest { context, search: Some(search), callback_queue: String::new() };
        let response = self.kit.peers.query(self.identity()).search_passages(request).await.unwrap();
        self.result(&response.into_inner().task.unwrap()).await
    }

    pub(crate) async fn ask(&self, collection: &str, query: &str) -> GenerateAnswerResult {
        let collection_ids = vec![collection.to_owned()];
        let generate = GenerateAnswer { query: query.to_owned(), collection_ids, ..GenerateAnswer::default() };
        let context = Some(context(collection));
        let request = GenerateAnswerRequest { context, generate: Some(generate), ..GenerateAnswerRequest::default() };
        let response = self.kit.peers.query(self.identity()).generate_answer(request).await.unwrap();
        self.result(&response.into_inner().task.unwrap()).await
    }
}

fn context(collection: &str) -> proto::action::v1::ExecutionContext {
    action::ExecutionContext::collection(collection.parse().unwrap()).to_proto()
}

pub(crate) fn header(collection: &str, file_name: &str) -> DocumentHeader {
    DocumentHeader {
        collection_id: collection.to_owned(),
        file_name: file_name.to_owned(),
        ..DocumentHeader::default()
    }
}
