//! How a façade takes work in: who asks, what for, whether they may, one unit of their limits, a task. What can refuse
//! comes first and the charge last, so that work that is refused costs nothing.

mod context;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use action::{
    Action, CollectionId, Contract, Deadline, Domain, ExecutionContext, QueueName, TaskId, TenantId, Tier, UserId, time,
};
use fault::{Failure, Fault as _, reason};
use proto::management::v1::Agent;
use queue::{Queue, Submitted};
use quota::Tiers;
use tonic::{Request, Status};

use crate::{Admission, Caller, Kit, Spend, Tasks};

/// Takes work in. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: Queue,
    admission: Admission,
    tiers: Arc<Tiers>,
    tasks: Tasks,
}

impl Intake {
    /// Takes in what lands in the queues of a kit.
    pub fn new(kit: &Kit) -> Self {
        let (queue, admission) = (kit.queue.clone(), kit.admission.clone());
        Self { queue, admission, tiers: Arc::clone(&kit.tiers), tasks: kit.tasks.clone() }
    }

    /// Begins with who asks. Fails as [`Caller::of`] and [`Caller::tenant`] do.
    pub fn order<T>(&self, request: &Request<T>) -> Result<Order<'_>, Failure> {
        let caller = Caller::of(request)?.clone();
        let (tenant, tier) = caller.tenant()?;
        Ok(Order { intake: self, caller, tenant, tier })
    }
}

/// What a caller may say about work beside the work itself, as it stands in a request.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// Session that shows the progress; empty for none.
    pub session_id: &'a str,
    /// User on whose behalf it is asked for.
    pub user: Option<UserId>,
    /// Callback queue for the outcome, which can only be the orchestrator's for the caller's own tenant; that one when empty.
    pub callback_queue: &'a str,
    /// Time for the work; the tier's when unset, which also bounds it.
    pub timeout: Option<&'a prost_types::Duration>,
    /// Id that the task shall have; for services of the mesh only.
    pub task: Option<TaskId>,
}

/// Work that is being taken in for a caller.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Who asks.
    pub caller: Caller,
    /// For whom.
    pub tenant: TenantId,
    /// The tenant's tier.
    pub tier: Tier,
    intake: &'a Intake,
}

impl Order<'_> {
    /// Makes the root action of a new task. Fails with `INVALID_FIELD` or `INVALID_QUEUE_NAME`, naming the field; with
    /// `ACCESS_DENIED` or `TENANT_MISMATCH` when the credential is limited to other agents or belongs to another user.
    pub fn action<C: Contract>(
        &self,
        context: ExecutionContext,
        payload: &C,
        terms: Terms<'_>,
    ) -> Result<Action, Failure> {
        for agent in context.primary_agent.iter().chain(&context.agents) {
            self.caller.assert_agent(agent)?;
        }
        let terms = Terms { user: self.caller.assert_user(terms.user, "user_id")?, ..terms };
        let mut action = Action::root(self.tenant.clone(), self.tier, context, payload);
        if let Some(task) = terms.task {
            // Charged under this id where the call came in; whoever comes from outside cannot choose one.
            self.caller.inside()?;
            action = action.named(task);
        }
        terms.apply(&mut action, self.intake.tiers.of(self.tier).timeout)?;
        Ok(action)
    }

    /// Checks that the tenant may use every agent, at its tier, and every collection of a context; returns the agents, the
    /// primary one first. Fails as [`Admission::access_agent`] and [`Admission::access_collection`] do.
    pub async fn access(&self, context: &ExecutionContext) -> Result<Vec<Arc<Agent>>, Failure> {
        let primary = context.primary_agent.as_ref();
        let others = context.agents.iter().filter(|agent| Some(*agent) != primary);
        let mut agents = Vec::new();
        for agent in primary.into_iter().chain(others) {
            agents.push(self.intake.admission.access_agent(&self.caller, agent).await?);
        }
        self.access_collections(&context.collections).await?;
        Ok(agents)
    }

    /// Checks that the tenant may use collections. Fails as [`Admission::access_collection`] does.
    pub async fn access_collections(&self, collections: &[CollectionId]) -> Result<(), Failure> {
        for collection in collections {
            self.intake.admission.access_collection(&self.caller, collection).await?;
        }
        Ok(())
    }

    /// Reads where the caller wants an action to be executed; the context is made now, whatever a caller says. Fails with
    /// `INVALID_FIELD` or `INVALID_CONTEXT_TYPE`; a caller from outside gets a context of bounded size only.
    pub fn context(&self, given: Option<proto::action::v1::ExecutionContext>) -> Result<ExecutionContext, Failure> {
        context::read(given, self.caller.is_outside())
    }

    /// Charges what it costs, unless that was done where the call came in, and enqueues. Fails as [`Admission::admit`] and
    /// [`Queue::submit`] do; what the queue refuses costs nothing.
    pub async fn submit(&self, spend: impl Into<Spend>, action: Action) -> Result<Submitted, Status> {
        // The queue looks at it too, but only after the charge.
        self.intake.queue.fits(&action)?;
        let spend = spend.into().of_action(&action);
        let submitting = charge_and_submit(self.intake.clone(), self.caller.clone(), spend, action);
        // A caller that goes away leaves nothing half done: what is charged is submitted, or taken back.
        let submitted = self.intake.tasks.spawn(Box::pin(submitting)).await;
        let submitted = submitted.unwrap_or_else(|_| Err(Failure::internal().into()))?;
        tracing::info!(
            task_id = submitted.task.task_id,
            tenant_id = %self.tenant,
            tier = self.tier.as_str(),
            queue = %submitted.queue_name,
            "work accepted"
        );
        Ok(submitted)
    }
}

async fn charge_and_submit(intake: Intake, caller: Caller, spend: Spend, action: Action) -> Result<Submitted, Status> {
    let admitted = intake.admission.admit(&caller, spend).await?;
    match intake.queue.submit(action).await {
        Ok(submitted) => Ok(submitted),
        Err(error) => {
            if let Some(admitted) = admitted
                && !error.failure().leaves_doubt()
            {
                intake.admission.refund(&admitted.receipt).await;
            }
            Err(error.into())
        }
    }
}

impl Terms<'_> {
    fn apply(self, action: &mut Action, most: Duration) -> Result<(), Failure> {
        if !self.session_id.is_empty() {
            action.session = Some(self.session_id.parse().map_err(|error: action::Error| error.failure())?);
        }
        if !self.callback_queue.is_empty() {
            action.callback = Some(own_callbacks(self.callback_queue, &action.tenant)?);
        }
        if let Some(asked) = self.timeout {
            action.deadline = Deadline::Within(timeout(asked)?.min(most));
        }
        action.user = self.user;
        Ok(())
    }
}

/// Reads the name of a callback queue: the tenant's own, of the one domain that consumes outcomes. Anywhere else they would
/// be read by nobody.
fn own_callbacks(name: &str, tenant: &TenantId) -> Result<QueueName, Failure> {
    match name.parse().map_err(|error: action::Error| error.failure().field("callback_queue"))? {
        QueueName::Callbacks { domain: Domain::Orchestrator, tenant: named } if named == *tenant => {
            Ok(QueueName::callbacks(Domain::Orchestrator, named))
        }
        _ => {
            let text = "outcomes go to orchestrator:{tenant_id}:callbacks of your own tenant, and nowhere else";
            Err(Failure::new(&reason::INVALID_QUEUE_NAME, text).field("callback_queue"))
        }
    }
}

fn timeout(asked: &prost_types::Duration) -> Result<Duration, Failure> {
    let positive = time::duration_from_proto(asked).filter(|timeout| !timeout.is_zero());
    let refused = || Failure::new(&reason::INVALID_FIELD, "a timeout is longer than nothing").field("timeout");
    positive.ok_or_else(refused)
}
