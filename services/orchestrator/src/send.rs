//! A message becomes a task.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, Deadline, Domain, TenantId, Tier, time};
use fault::{Failure, reason};
use proto::management::v1::AgentType;
use proto::orchestrator::v1::{SendMessageRequest, SendMessageResponse};
use queue::{Queue, Submitted};
use quota::{Tiers, UsageKind};
use service_kit::{Admission, Caller};

use crate::message::Message;
use crate::{Error, estimate};

/// Takes messages in. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) queue: Queue,
    pub(crate) admission: Admission,
    pub(crate) tiers: Arc<Tiers>,
    /// Domain that outcomes go to.
    pub(crate) domain: Domain,
    /// Whether a message is refused at once when the tenant may not use the agent or collection.
    pub(crate) enable_access_validation: bool,
}

impl Inlet {
    /// Checks a message, then whether the tenant may send it, then charges its limits, so that a message that is refused
    /// costs nothing; then enqueues the run.
    pub(crate) async fn send(
        &self,
        caller: &Caller,
        request: SendMessageRequest,
    ) -> Result<SendMessageResponse, Error> {
        let (tenant, tier) = caller.tenant()?;
        let message = Message::parse(request)?;
        let run = self.run(&tenant, tier, &message)?;
        if self.enable_access_validation {
            self.check_access(caller, &message).await?;
        }
        self.admission.admit(caller, UsageKind::Agent).await?;
        let submitted = self.queue.submit(run).await?;
        tracing::info!(
            task_id = submitted.task.task_id,
            tenant_id = %tenant,
            tier = tier.as_str(),
            queue = %submitted.queue_name,
            "message accepted"
        );
        let expected = self.expected(tier, &submitted).await;
        Ok(SendMessageResponse {
            queue_name: submitted.queue_name.to_string(),
            estimated_time: Some(time::duration_to_proto(expected)),
            task: Some(submitted.task),
        })
    }

    fn run(&self, tenant: &TenantId, tier: Tier, message: &Message) -> Result<Action, Error> {
        let callback = message.callback(tenant, self.domain)?;
        let mut run = Action::root(tenant.clone(), tier, message.context(), &message.numbered());
        run.session = Some(message.session.clone());
        run.user.clone_from(&message.user);
        run.callback = Some(callback);
        if let Some(timeout) = message.timeout {
            run.deadline = Deadline::Within(timeout.min(self.tiers.of(tier).timeout));
        }
        Ok(run)
    }

    /// Checks that the tenant may use the agent, at its tier, and the collection where one is named.
    async fn check_access(&self, caller: &Caller, message: &Message) -> Result<(), Error> {
        let agent = self.admission.access_agent(caller, &message.agent).await?;
        if agent.r#type() == AgentType::Workflow {
            let text = "workflow agents are not served by this version";
            return Err(Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, text).field("agent_id").into());
        }
        if let Some(collection) = &message.collection {
            self.admission.access_collection(caller, collection).await?;
        }
        Ok(())
    }

    /// Returns when an answer can be expected: by the rate at which work of this tier was done lately, or the product's figure
    /// before there is one.
    async fn expected(&self, tier: Tier, submitted: &Submitted) -> Duration {
        let measured = self.queue.estimate(Domain::Execution, tier, submitted.position).await;
        measured.unwrap_or_else(|| estimate::customary(tier))
    }
}
