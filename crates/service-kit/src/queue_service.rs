//! The `QueueService`: shows operators what the queues hold.

use action::Domain;
use proto::queue::v1 as wire;
use proto::queue::v1::queue_service_server::{QueueService, QueueServiceServer};
use queue::Queue;
use tonic::{Request, Response, Status};

use crate::task_service::page_size;
use crate::{Caller, Scope};

/// The façade.
#[derive(Clone, Debug)]
pub(crate) struct QueueFacade {
    queue: Queue,
}

impl QueueFacade {
    /// Makes the server.
    pub(crate) fn server(queue: Queue) -> QueueServiceServer<Self> {
        QueueServiceServer::new(Self { queue })
    }
}

#[tonic::async_trait]
impl QueueService for QueueFacade {
    async fn get_queue_stats(
        &self,
        request: Request<wire::GetQueueStatsRequest>,
    ) -> Result<Response<wire::GetQueueStatsResponse>, Status> {
        Caller::of(&request)?.require(Scope::Admin)?;
        let named = request.into_inner().domain;
        let asked = if named.is_empty() { Domain::ALL.to_vec() } else { vec![named.parse::<Domain>()?] };
        let mut domains = Vec::with_capacity(asked.len());
        for domain in asked {
            domains.push(self.queue.stats(domain).await?);
        }
        Ok(Response::new(wire::GetQueueStatsResponse { domains }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<wire::ListDeadLettersRequest>,
    ) -> Result<Response<wire::ListDeadLettersResponse>, Status> {
        Caller::of(&request)?.require(Scope::Admin)?;
        let request = request.into_inner();
        let domain: Domain = request.domain.parse()?;
        let size = page_size(request.page_size)?;
        let (dead_letters, next_page_token) = self.queue.dead_letters(domain, size, &request.page_token).await?;
        Ok(Response::new(wire::ListDeadLettersResponse { dead_letters, next_page_token }))
    }
}
