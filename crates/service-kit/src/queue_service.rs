//! The `QueueService`: shows operators what the queues hold, and lets them intervene.
//!
//! A call is decoded and checked here, so that what is wrong in a request is refused by name before Redis is asked.

mod control;
mod field;
mod letters;
mod show;
mod submit;
mod work;

use fault::Failure;
use proto::queue::v1 as wire;
use proto::queue::v1::queue_service_server::{QueueService, QueueServiceServer};
use queue::Queue;
use tonic::{Request, Response, Status, Streaming};

use crate::{Caller, Kit, Scope};
pub(crate) use work::{Desks, SILENCE};

/// The façade.
#[derive(Clone, Debug)]
pub(crate) struct QueueFacade {
    queue: Queue,
    desks: Desks,
}

impl QueueFacade {
    /// Makes the server.
    pub(crate) fn server(kit: &Kit, desks: Desks) -> QueueServiceServer<Self> {
        QueueServiceServer::new(Self { queue: kit.queue.clone(), desks })
            .max_encoding_message_size(crate::service::MOST_MESSAGE)
    }
}

/// Returns what an operator asks; nobody else gets further.
fn asked<T>(request: Request<T>) -> Result<T, Failure> {
    Caller::of(&request)?.require(Scope::Admin)?;
    Ok(request.into_inner())
}

#[tonic::async_trait]
impl QueueService for QueueFacade {
    async fn get_queue_stats(
        &self,
        request: Request<wire::GetQueueStatsRequest>,
    ) -> Result<Response<wire::GetQueueStatsResponse>, Status> {
        self.stats(asked(request)?).await.map(Response::new)
    }

    async fn get_system_overview(
        &self,
        request: Request<wire::GetSystemOverviewRequest>,
    ) -> Result<Response<wire::GetSystemOverviewResponse>, Status> {
        asked(request)?;
        self.overview().await.map(Response::new)
    }

    async fn list_busiest_tenants(
        &self,
        request: Request<wire::ListBusiestTenantsRequest>,
    ) -> Result<Response<wire::ListBusiestTenantsResponse>, Status> {
        self.busiest(asked(request)?).await.map(Response::new)
    }

    async fn get_tenant_loads(
        &self,
        request: Request<wire::GetTenantLoadsRequest>,
    ) -> Result<Response<wire::GetTenantLoadsResponse>, Status> {
        let tenant = Caller::of(&request)?.acting_for(&request.get_ref().tenant_id)?;
        self.loads(&tenant).await.map(Response::new)
    }

    async fn submit_action(
        &self,
        request: Request<wire::SubmitActionRequest>,
    ) -> Result<Response<wire::SubmitActionResponse>, Status> {
        self.submit(asked(request)?).await.map(Response::new)
    }

    async fn pause(&self, request: Request<wire::PauseRequest>) -> Result<Response<wire::PauseResponse>, Status> {
        self.pause_claims(asked(request)?).await.map(Response::new)
    }

    async fn resume(&self, request: Request<wire::ResumeRequest>) -> Result<Response<wire::ResumeResponse>, Status> {
        self.resume_claims(asked(request)?).await.map(Response::new)
    }

    async fn purge(&self, request: Request<wire::PurgeRequest>) -> Result<Response<wire::PurgeResponse>, Status> {
        self.end_waiting(asked(request)?).await.map(Response::new)
    }

    async fn get_limits(
        &self,
        request: Request<wire::GetLimitsRequest>,
    ) -> Result<Response<wire::GetLimitsResponse>, Status> {
        self.limits(asked(request)?).await.map(Response::new)
    }

    async fn update_limits(
        &self,
        request: Request<wire::UpdateLimitsRequest>,
    ) -> Result<Response<wire::UpdateLimitsResponse>, Status> {
        self.change_limits(asked(request)?).await.map(Response::new)
    }

    async fn list_dead_letters(
        &self,
        request: Request<wire::ListDeadLettersRequest>,
    ) -> Result<Response<wire::ListDeadLettersResponse>, Status> {
        self.list_letters(asked(request)?).await.map(Response::new)
    }

    async fn get_dead_letter(
        &self,
        request: Request<wire::GetDeadLetterRequest>,
    ) -> Result<Response<wire::GetDeadLetterResponse>, Status> {
        self.letter(asked(request)?).await.map(Response::new)
    }

    async fn replay_dead_letters(
        &self,
        request: Request<wire::ReplayDeadLettersRequest>,
    ) -> Result<Response<wire::ReplayDeadLettersResponse>, Status> {
        self.replay_letters(asked(request)?).await.map(Response::new)
    }

    async fn delete_dead_letters(
        &self,
        request: Request<wire::DeleteDeadLettersRequest>,
    ) -> Result<Response<wire::DeleteDeadLettersResponse>, Status> {
        self.delete_letters(asked(request)?).await.map(Response::new)
    }

    async fn check_queues(
        &self,
        request: Request<wire::CheckQueuesRequest>,
    ) -> Result<Response<wire::CheckQueuesResponse>, Status> {
        self.check(asked(request)?).await.map(Response::new)
    }

    async fn set_partitions(
        &self,
        request: Request<wire::SetPartitionsRequest>,
    ) -> Result<Response<wire::SetPartitionsResponse>, Status> {
        self.spread(asked(request)?).await.map(Response::new)
    }

    type WorkStream = work::Answers;

    async fn work(&self, request: Request<Streaming<wire::WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        Ok(self.open(request)?)
    }
}
