//! The façade: a run that a caller asks for becomes a task.

use action::agent_run;
use proto::execution::v1::execution_service_server::{ExecutionService, ExecutionServiceServer};
use proto::execution::v1::{RunAgentRequest, RunAgentResponse};
use quota::UsageKind;
use service_kit::{Intake, Terms};
use tonic::{Request, Response, Status};

use crate::context;

/// Execution as a gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Grpc(pub(crate) Intake);

impl Grpc {
    pub(crate) fn server(self) -> ExecutionServiceServer<Self> {
        ExecutionServiceServer::new(self).max_encoding_message_size(service_kit::MOST_MESSAGE)
    }
}

#[tonic::async_trait]
impl ExecutionService for Grpc {
    async fn run_agent(&self, request: Request<RunAgentRequest>) -> Result<Response<RunAgentResponse>, Status> {
        let order = self.0.order(&request)?;
        let RunAgentRequest { context, run, session_id, callback_queue, timeout } = request.into_inner();
        let context = order.context(context)?;
        context::check(&context)?;
        let user = context.metadata.get("user_id").map(|user| user.parse()).transpose()?;
        let run = agent_run::accepted(run)?;
        let (session_id, callback_queue, timeout) = (&session_id, &callback_queue, timeout.as_ref());
        let action = order.action(context, &run, Terms { session_id, user, callback_queue, timeout, task: None })?;
        order.access(&action.context).await?;
        let submitted = order.submit(UsageKind::Agent, action).await?;
        Ok(Response::new(RunAgentResponse { task: Some(submitted.task) }))
    }
}
