//! The façade: checks, charges, enqueues.

use action::{Action, CollectionId, Contract, ExecutionContext, QueueName, SessionId, TenantId, Tier};
use fault::{Failure, Fault as _, reason};
use proto::query::v1::query_service_server::QueryService;
use proto::query::v1::{
    GenerateAnswerRequest, GenerateAnswerResponse, GetIndexStatsRequest, GetIndexStatsResponse, IndexChunksRequest,
    IndexChunksResponse, SearchPassagesRequest, SearchPassagesResponse,
};
use proto::task::v1::Task;
use quota::UsageKind;
use service_kit::{Caller, Kit};
use tonic::{Request, Response, Status};

use crate::{Error, Query, add};

/// The gRPC service.
#[derive(Clone, Debug)]
pub struct Grpc {
    query: Query,
    kit: Kit,
}

impl Grpc {
    /// Makes the façade.
    pub fn new(query: Query, kit: Kit) -> Self {
        Self { query, kit }
    }

    /// Checks that the collections are the caller's, charges one unit and enqueues.
    async fn submit(
        &self,
        caller: &Caller,
        collections: &[CollectionId],
        kind: UsageKind,
        action: Action,
    ) -> Result<Task, Error> {
        for collection in collections {
            self.kit.admission.access_collection(caller, collection).await?;
        }
        self.kit.admission.admit(caller, kind).await?;
        let submitted = self.kit.queue.submit(action).await.map_err(|error| error.failure())?;
        Ok(submitted.task)
    }
}

/// What every request says beside its payload.
struct Envelope {
    context: Option<proto::action::v1::ExecutionContext>,
    session: String,
    callback: String,
}

impl Envelope {
    /// Makes the root action of a new task.
    fn action<C: Contract>(self, caller: &Caller, tenant: TenantId, tier: Tier, payload: &C) -> Result<Action, Error> {
        let context = self.context.ok_or(action::Error::Missing("context"))?;
        let mut action = Action::root(tenant, tier, ExecutionContext::from_proto(context)?, payload);
        if !self.callback.is_empty() {
            action.callback = Some(own_callbacks(&self.callback, &action.tenant)?);
        }
        if !self.session.is_empty() {
            action.session = Some(self.session.parse::<SessionId>()?);
        }
        action.user.clone_from(&caller.user);
        Ok(action)
    }
}

/// Reads the name of a callback queue, which must be the tenant's own.
fn own_callbacks(name: &str, tenant: &TenantId) -> Result<QueueName, Error> {
    match name.parse()? {
        QueueName::Callbacks { domain, tenant: named } if named == *tenant => Ok(QueueName::callbacks(domain, named)),
        _ => {
            let text = "callbacks go to {domain}:{tenant_id}:callbacks of your own tenant";
            Err(Failure::new(&reason::INVALID_QUEUE_NAME, text).field("callback_queue").into())
        }
    }
}

#[tonic::async_trait]
impl QueryService for Grpc {
    async fn search_passages(
        &self,
        request: Request<SearchPassagesRequest>,
    ) -> Result<Response<SearchPassagesResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, tier) = caller.tenant()?;
        let SearchPassagesRequest { context, search, callback_queue } = request.into_inner();
        let search = search.ok_or(action::Error::Missing("search"))?;
        let collections = self.query.check_search(tier, &search)?;
        let envelope = Envelope { context, session: String::new(), callback: callback_queue };
        let action = envelope.action(&caller, tenant, tier, &search)?;
        let task = self.submit(&caller, &collections, UsageKind::Query, action).await?;
        Ok(Response::new(SearchPassagesResponse { task: Some(task) }))
    }

    async fn generate_answer(
        &self,
        request: Request<GenerateAnswerRequest>,
    ) -> Result<Response<GenerateAnswerResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, tier) = caller.tenant()?;
        let GenerateAnswerRequest { context, generate, session_id, callback_queue } = request.into_inner();
        let generate = generate.ok_or(action::Error::Missing("generate"))?;
        let collections = self.query.check_question(tier, &generate)?;
        let envelope = Envelope { context, session: session_id, callback: callback_queue };
        let action = envelope.action(&caller, tenant, tier, &generate)?;
        let task = self.submit(&caller, &collections, UsageKind::Query, action).await?;
        Ok(Response::new(GenerateAnswerResponse { task: Some(task) }))
    }

    async fn index_chunks(
        &self,
        request: Request<IndexChunksRequest>,
    ) -> Result<Response<IndexChunksResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, tier) = caller.tenant()?;
        let IndexChunksRequest { context, index } = request.into_inner();
        let index = index.ok_or(action::Error::Missing("index"))?;
        let collection = add::part(index.clone())?.collection;
        let envelope = Envelope { context, session: String::new(), callback: String::new() };
        let action = envelope.action(&caller, tenant, tier, &index)?;
        let task = self.submit(&caller, &[collection], UsageKind::Collection, action).await?;
        Ok(Response::new(IndexChunksResponse { task: Some(task) }))
    }

    async fn get_index_stats(
        &self,
        request: Request<GetIndexStatsRequest>,
    ) -> Result<Response<GetIndexStatsResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, _) = caller.tenant()?;
        let collection: CollectionId = request.into_inner().collection_id.parse().map_err(Error::from)?;
        self.kit.admission.access_collection(&caller, &collection).await?;
        let stats = self.query.index.stats(&tenant, &collection).await?;
        Ok(Response::new(GetIndexStatsResponse { documents: stats.documents, chunks: stats.chunks }))
    }
}
