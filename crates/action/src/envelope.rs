//! One message between services.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prost::{Message as _, Name as _};
use prost_types::Any;
use proto::action::v1 as wire;

use crate::{
    ActionId, Contract, CorrelationId, Domain, Error, ExecutionContext, QueueName, SessionId, TaskId, TenantId, Tier,
    UserId, catalogue, time,
};

/// W3C trace context; empty when nothing is traced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// `traceparent`.
    pub parent: String,
    /// `tracestate`.
    pub state: String,
}

/// How long an action may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadline {
    /// The tier's budget, counted from the first claim.
    #[default]
    Tier,
    /// This long from now on, waiting included.
    Within(Duration),
}

/// What the queue knows about one delivery of an action to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Queue that it came through.
    pub queue: QueueName,
    /// When it became visible, by Redis' clock.
    pub enqueued_at: SystemTime,
    /// When it was claimed, by Redis' clock.
    pub claimed_at: SystemTime,
    /// Attempt, starting at 1.
    pub attempt: u32,
    /// Fencing token; later deliveries have greater ones.
    pub fence: u64,
    /// Time left when it was claimed.
    pub remaining: Duration,
}

/// What shall be done, for whom, until when, and where the result goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Identifies the message; the idempotency key of its handling. A root action has the id of its task.
    pub id: ActionId,
    /// `{domain}.{action}` out of the catalogue, or `{domain}.callback`.
    pub action_type: String,
    /// Identifies the user's request.
    pub task: TaskId,
    /// Pairs a request with its reply.
    pub correlation: Option<CorrelationId>,
    /// For whom the work is done.
    pub tenant: TenantId,
    /// The tenant's tier when the work was accepted.
    pub tier: Tier,
    /// Session that shows progress and result.
    pub session: Option<SessionId>,
    /// Person who asked.
    pub user: Option<UserId>,
    /// Where it is executed.
    pub context: ExecutionContext,
    /// What shall be done.
    pub payload: Any,
    /// Facts that travel along; never message text.
    pub metadata: BTreeMap<String, String>,
    /// Where the final outcome goes.
    pub callback: Option<QueueName>,
    /// Inbox of the process that awaits the reply.
    pub reply_inbox: Option<String>,
    /// How long it may take; set by whoever submits it.
    pub deadline: Deadline,
    /// Trace that it belongs to.
    pub trace: Trace,
    /// Fencing token of the root attempt that caused it; 0 in a root action.
    pub root_fence: u64,
    /// Root attempt that caused it; 0 in a root action.
    pub root_attempt: u32,
    /// What the queue knows about this delivery; none before it was claimed.
    pub delivery: Option<Delivery>,
}

impl Action {
    /// Makes the root action of a new task. Its final outcome goes to the orchestrator's callbacks of the tenant.
    pub fn root<C: Contract>(tenant: TenantId, tier: Tier, context: ExecutionContext, payload: &C) -> Self {
        let task = TaskId::new();
        Self {
            id: ActionId::root_of(task),
            action_type: C::KIND.as_str().to_owned(),
            task,
            correlation: None,
            session: None,
            user: None,
            context,
            payload: pack(payload),
            metadata: BTreeMap::new(),
            callback: Some(QueueName::callbacks(Domain::Orchestrator, tenant.clone())),
            reply_inbox: None,
            deadline: Deadline::default(),
            trace: Trace::default(),
            root_fence: 0,
            root_attempt: 0,
            delivery: None,
            tenant,
            tier,
        }
    }

    /// Gives a root action the id of its task, where that is known before.
    #[must_use]
    pub fn named(self, task: TaskId) -> Self {
        Self { id: ActionId::root_of(task), task, ..self }
    }

    /// Makes an action that this one causes: same task, tenant, tier, session, user and trace; its outcome is a reply.
    #[must_use]
    pub fn child<C: Contract>(&self, context: ExecutionContext, payload: &C) -> Self {
        Self {
            id: ActionId::new(),
            action_type: C::KIND.as_str().to_owned(),
            correlation: Some(CorrelationId::new()),
            context,
            payload: pack(payload),
            callback: None,
            root_fence: self.fence(),
            root_attempt: self.attempt(),
            delivery: None,
            ..self.clone()
        }
    }

    /// Returns the domain that handles it.
    pub fn domain(&self) -> Result<Domain, Error> {
        let (domain, _) = self.action_type.split_once('.').ok_or_else(|| self.unknown())?;
        domain.parse()
    }

    /// Returns the queue that it goes to.
    pub fn queue(&self) -> Result<QueueName, Error> {
        Ok(QueueName::actions(self.domain()?, self.context.id.clone(), self.tier))
    }

    /// Tells whether it is the root action of its task.
    pub fn is_root(&self) -> bool {
        self.id == ActionId::root_of(self.task)
    }

    /// Returns the fencing token of the task's root attempt: what this attempt writes carries it.
    pub fn fence(&self) -> u64 {
        if self.root_fence > 0 { self.root_fence } else { self.delivery.as_ref().map_or(0, |delivery| delivery.fence) }
    }

    /// Returns the attempt of the task's root action.
    pub fn attempt(&self) -> u32 {
        if self.root_attempt > 0 {
            self.root_attempt
        } else {
            self.delivery.as_ref().map_or(0, |delivery| delivery.attempt)
        }
    }

    /// Checks that the payload is the one that the catalogue lists for the action's type.
    pub fn check(&self) -> Result<(), Error> {
        let expected = match catalogue::find(&self.action_type) {
            Some(entry) => entry.payload,
            None if self.is_callback() => wire::Callback::type_url(),
            None => return Err(self.unknown()),
        };
        if same_type(&self.payload.type_url, &expected) { Ok(()) } else { Err(self.mismatch(&expected)) }
    }

    /// Reads the payload as the message of a contract.
    pub fn payload<C: Contract>(&self) -> Result<C, Error> {
        if self.action_type != C::KIND.as_str() || !same_type(&self.payload.type_url, &C::type_url()) {
            return Err(self.mismatch(&C::type_url()));
        }
        C::decode(self.payload.value.as_slice()).map_err(|_| Error::PayloadMalformed(self.action_type.clone()))
    }

    /// Tells whether it carries the final outcome of another action.
    pub fn is_callback(&self) -> bool {
        self.domain().is_ok_and(|domain| catalogue::callback_of(domain) == self.action_type)
    }

    /// Reads the payload as the final outcome of another action.
    pub fn outcome(&self) -> Result<wire::Callback, Error> {
        if !self.is_callback() || !same_type(&self.payload.type_url, &wire::Callback::type_url()) {
            return Err(self.mismatch(&wire::Callback::type_url()));
        }
        wire::Callback::decode(self.payload.value.as_slice())
            .map_err(|_| Error::PayloadMalformed(self.action_type.clone()))
    }

    fn unknown(&self) -> Error {
        Error::UnknownActionType(self.action_type.clone())
    }

    fn mismatch(&self, expected: &str) -> Error {
        let found = self.payload.type_url.clone();
        Error::PayloadMismatch { kind: self.action_type.clone(), expected: expected.to_owned(), found }
    }
}

/// Packs a message with its type.
pub(crate) fn pack<M: prost::Message + prost::Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Compares type URLs by what stands behind the last slash, as the protobuf rules say.
pub(crate) fn same_type(one: &str, other: &str) -> bool {
    let name = |url: &str| url.rsplit('/').next().map(str::to_owned);
    name(one) == name(other)
}

// === protobuf ===

impl Action {
    /// Writes the protobuf form.
    pub fn to_proto(&self) -> wire::DomainAction {
        wire::DomainAction {
            action_id: self.id.to_string(),
            action_type: self.action_type.clone(),
            task_id: self.task.to_string(),
            correlation_id: written(self.correlation.as_ref()),
            tenant_id: self.tenant.to_string(),
            tier: self.tier.to_proto().into(),
            session_id: written(self.session.as_ref()),
            user_id: written(self.user.as_ref()),
            context: Some(self.context.to_proto()),
            payload: Some(self.payload.clone()),
            metadata: self.metadata.clone().into_iter().collect(),
            callback_queue: written(self.callback.as_ref()),
            reply_inbox: self.reply_inbox.clone().unwrap_or_default(),
            deadline: self.delivery.as_ref().map(|delivery| time::to_proto(delivery.claimed_at + delivery.remaining)),
            trace: Some(wire::TraceContext {
                traceparent: self.trace.parent.clone(),
                tracestate: self.trace.state.clone(),
            }),
            root_fence: self.root_fence,
            root_attempt: self.root_attempt,
            queue: self.delivery.as_ref().map(|delivery| wire::QueueMetadata {
                queue_name: delivery.queue.to_string(),
                enqueued_at: Some(time::to_proto(delivery.enqueued_at)),
                claimed_at: Some(time::to_proto(delivery.claimed_at)),
                attempt: delivery.attempt,
                fence: delivery.fence,
            }),
        }
    }

    /// Reads the protobuf form of an action that is to be submitted, and checks all of it.
    pub fn from_proto(wire: wire::DomainAction) -> Result<Self, Error> {
        let trace = wire.trace.unwrap_or_default();
        let action = Self {
            id: wire.action_id.parse()?,
            action_type: catalogue::canonical(&wire.action_type).to_owned(),
            task: wire.task_id.parse()?,
            correlation: read(&wire.correlation_id)?,
            tenant: wire.tenant_id.parse()?,
            tier: Tier::from_proto(wire.tier)?,
            session: read(&wire.session_id)?,
            user: read(&wire.user_id)?,
            context: ExecutionContext::from_proto(wire.context.ok_or(Error::Missing("context"))?)?,
            payload: wire.payload.ok_or(Error::Missing("payload"))?,
            metadata: wire.metadata.into_iter().collect(),
            callback: read(&wire.callback_queue)?,
            reply_inbox: Some(wire.reply_inbox).filter(|inbox| !inbox.is_empty()),
            deadline: Deadline::default(),
            trace: Trace { parent: trace.traceparent, state: trace.tracestate },
            root_fence: wire.root_fence,
            root_attempt: wire.root_attempt,
            delivery: None,
        };
        action.check()?;
        Ok(action)
    }
}

fn written(id: Option<&impl ToString>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

fn read<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}
