//! A run that a caller asks for becomes a task.

use std::sync::Arc;

use action::{Action, Deadline, TenantId, Tier};
use proto::execution::v1::{RunAgentRequest, RunAgentResponse};
use queue::Queue;
use quota::{Tiers, UsageKind};
use service_kit::{Admission, Caller};

use crate::Error;
use crate::request::Request;

/// Takes runs in. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) queue: Queue,
    pub(crate) admission: Admission,
    pub(crate) tiers: Arc<Tiers>,
}

impl Inlet {
    /// Checks a run, then whether the tenant may ask for it, then charges its limits, so that a run that is refused costs
    /// nothing; then enqueues it.
    pub(crate) async fn accept(&self, caller: &Caller, request: RunAgentRequest) -> Result<RunAgentResponse, Error> {
        let (tenant, tier) = caller.tenant()?;
        let request = Request::parse(request)?;
        let run = self.run(&tenant, tier, &request)?;
        self.check_access(caller, &request).await?;
        self.admission.admit(caller, UsageKind::Agent).await?;
        let submitted = self.queue.submit(run).await?;
        tracing::info!(
            task_id = submitted.task.task_id,
            tenant_id = %tenant,
            tier = tier.as_str(),
            queue = %submitted.queue_name,
            "run accepted"
        );
        Ok(RunAgentResponse { task: Some(submitted.task) })
    }

    fn run(&self, tenant: &TenantId, tier: Tier, request: &Request) -> Result<Action, Error> {
        let callback = request.callback(tenant)?;
        let mut run = Action::root(tenant.clone(), tier, request.context.clone(), &request.numbered());
        run.session.clone_from(&request.session);
        run.user.clone_from(&request.user);
        run.callback = Some(callback);
        if let Some(timeout) = request.timeout {
            run.deadline = Deadline::Within(timeout.min(self.tiers.of(tier).timeout));
        }
        Ok(run)
    }

    /// Checks that the tenant may use every agent, at its tier, and every collection that the context names.
    async fn check_access(&self, caller: &Caller, request: &Request) -> Result<(), Error> {
        let context = &request.context;
        for agent in context.primary_agent.iter().chain(&context.agents) {
            self.admission.access_agent(caller, agent).await?;
        }
        for collection in &context.collections {
            self.admission.access_collection(caller, collection).await?;
        }
        Ok(())
    }
}
