//! A message becomes a task.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, Domain, Tier, time};
use fault::{Failure, reason};
use proto::management::v1::{Agent, AgentType};
use proto::orchestrator::v1::{SendMessageRequest, SendMessageResponse};
use queue::{Queue, Submitted};
use quota::UsageKind;
use service_kit::{Intake, Spend};
use session::{Announcement, Sessions};
use tonic::{Request, Status};

use crate::estimate;
use crate::message::Message;

/// Takes messages in. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) intake: Intake,
    pub(crate) queue: Queue,
    pub(crate) sessions: Sessions,
    /// Whether a message is refused at once when the tenant may not use the agent or collection.
    pub(crate) enable_access_validation: bool,
}

impl Inlet {
    /// Checks a message, then whether the tenant may send it, then charges its limits, so that a message that is refused
    /// costs nothing; then enqueues the run.
    pub(crate) async fn send(&self, request: Request<SendMessageRequest>) -> Result<SendMessageResponse, Status> {
        let order = self.intake.order(&request)?;
        let message = Message::parse(request.into_inner())?;
        let run = order.action(message.context(), &message.run, message.terms())?;
        let agents = if self.enable_access_validation { order.access(&run.context).await? } else { Vec::new() };
        check_agents(&agents)?;
        let spend = spend(&message, &run, agents.first().map(Arc::as_ref));
        let pending = Announcement::of(&run, action::Status::Pending);
        let submitted = order.submit(spend, run).await?;
        let ((), expected) = tokio::join!(self.sessions.announce(pending), self.expected(order.tier, &submitted));
        Ok(SendMessageResponse {
            queue_name: submitted.queue_name.to_string(),
            estimated_time: Some(time::duration_to_proto(expected)),
            task: Some(submitted.task),
        })
    }

    /// Returns when an answer can be expected: by the rate at which work of this tier was done lately, or the product's figure
    /// before there is one.
    async fn expected(&self, tier: Tier, submitted: &Submitted) -> Duration {
        let measured = self.queue.estimate(Domain::Execution, tier, submitted.position).await;
        measured.unwrap_or_else(|| estimate::customary(tier))
    }
}

/// Says what a run costs, for callers who were not charged where they came in.
fn spend(message: &Message, run: &Action, agent: Option<&Agent>) -> Spend {
    let spend = Spend::from(UsageKind::Agent);
    let Some(agent) = agent else { return spend };
    let tokens = service_kit::estimate_tokens(agent, &message.run);
    spend.of_agent(agent).of_task(run.task, tokens)
}

fn check_agents(agents: &[Arc<Agent>]) -> Result<(), Failure> {
    if agents.iter().any(|agent| agent.r#type() == AgentType::Workflow) {
        let text = "workflow agents are not served by this version";
        return Err(Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, text).field("agent_id"));
    }
    Ok(())
}
