//! The façade: checks, charges, enqueues.

use action::{CollectionId, Contract};
use proto::query::v1::query_service_server::QueryService;
use proto::query::v1::{
    GenerateAnswerRequest, GenerateAnswerResponse, GetIndexStatsRequest, GetIndexStatsResponse, IndexChunksRequest,
    IndexChunksResponse, SearchPassagesRequest, SearchPassagesResponse,
};
use proto::task::v1::Task;
use quota::UsageKind;
use service_kit::{Intake, Kit, Order, Terms};
use tonic::{Request, Response, Status};

use crate::{Query, add};

/// The gRPC service.
#[derive(Clone, Debug)]
pub struct Grpc {
    query: Query,
    intake: Intake,
}

impl Grpc {
    /// Makes the façade.
    pub fn new(query: Query, kit: &Kit) -> Self {
        Self { query, intake: Intake::new(kit) }
    }
}

/// What every request says beside its payload.
#[derive(Default)]
struct Envelope {
    context: Option<proto::action::v1::ExecutionContext>,
    session_id: String,
    callback_queue: String,
}

impl Envelope {
    /// Checks that the collections are the caller's, charges one unit and enqueues.
    async fn submit<C: Contract>(
        self,
        order: Order<'_>,
        kind: UsageKind,
        collections: &[CollectionId],
        payload: &C,
    ) -> Result<Task, Status> {
        let (session_id, callback_queue) = (&self.session_id, &self.callback_queue);
        let terms = Terms { session_id, callback_queue, user: order.caller.user.clone(), ..Terms::default() };
        let action = order.action(order.context(self.context)?, payload, terms)?;
        order.access_collections(collections).await?;
        Ok(order.submit(kind, action).await?.task)
    }
}

#[tonic::async_trait]
impl QueryService for Grpc {
    async fn search_passages(
        &self,
        request: Request<SearchPassagesRequest>,
    ) -> Result<Response<SearchPassagesResponse>, Status> {
        let order = self.intake.order(&request)?;
        let SearchPassagesRequest { context, search, callback_queue } = request.into_inner();
        let search = search.ok_or(action::Error::Missing("search"))?;
        let collections = self.query.check_search(order.tier, &search)?;
        let envelope = Envelope { context, callback_queue, ..Envelope::default() };
        let task = envelope.submit(order, UsageKind::Query, &collections, &search).await?;
        Ok(Response::new(SearchPassagesResponse { task: Some(task) }))
    }

    async fn generate_answer(
        &self,
        request: Request<GenerateAnswerRequest>,
    ) -> Result<Response<GenerateAnswerResponse>, Status> {
        let order = self.intake.order(&request)?;
        let GenerateAnswerRequest { context, generate, session_id, callback_queue } = request.into_inner();
        let generate = generate.ok_or(action::Error::Missing("generate"))?;
        let collections = self.query.check_question(order.tier, &generate)?;
        if order.caller.is_outside() {
            self.query.check_history(order.tier, &generate)?;
        }
        let envelope = Envelope { context, session_id, callback_queue };
        let task = envelope.submit(order, UsageKind::Query, &collections, &generate).await?;
        Ok(Response::new(GenerateAnswerResponse { task: Some(task) }))
    }

    async fn index_chunks(
        &self,
        request: Request<IndexChunksRequest>,
    ) -> Result<Response<IndexChunksResponse>, Status> {
        let order = self.intake.order(&request)?;
        order.caller.assert_unlimited()?;
        let IndexChunksRequest { context, index } = request.into_inner();
        let index = index.ok_or(action::Error::Missing("index"))?;
        let collection = add::part(index.clone())?.collection;
        let envelope = Envelope { context, ..Envelope::default() };
        let task = envelope.submit(order, UsageKind::Collection, &[collection], &index).await?;
        Ok(Response::new(IndexChunksResponse { task: Some(task) }))
    }

    async fn get_index_stats(
        &self,
        request: Request<GetIndexStatsRequest>,
    ) -> Result<Response<GetIndexStatsResponse>, Status> {
        let order = self.intake.order(&request)?;
        let collection: CollectionId = request.into_inner().collection_id.parse()?;
        order.access_collections(std::slice::from_ref(&collection)).await?;
        let stats = self.query.index.stats(&order.tenant, &collection).await?;
        Ok(Response::new(GetIndexStatsResponse { documents: stats.documents, chunks: stats.chunks }))
    }
}
