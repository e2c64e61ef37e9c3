//! The façade: decode, call, encode.

use proto::execution::v1::execution_service_server::{ExecutionService, ExecutionServiceServer};
use proto::execution::v1::{RunAgentRequest, RunAgentResponse};
use service_kit::Caller;
use tonic::{Request, Response, Status};

use crate::accept::Inlet;

/// Execution as a gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Grpc(pub(crate) Inlet);

impl Grpc {
    pub(crate) fn server(self) -> ExecutionServiceServer<Self> {
        ExecutionServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl ExecutionService for Grpc {
    async fn run_agent(&self, request: Request<RunAgentRequest>) -> Result<Response<RunAgentResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let response = self.0.accept(&caller, request.into_inner()).await?;
        Ok(Response::new(response))
    }
}
