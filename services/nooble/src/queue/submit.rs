//! `nooble queue submit`: puts an action into its queue, now or later.

use std::io::Write as _;
use std::time::Duration;

use action::{AgentId, ContextId, ContextType, ExecutionContext, Tier, catalogue, time};
use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_types::{Any, Timestamp};
use proto::action::v1 as wire;
use proto::queue::v1::{RetryPolicy, SubmitActionRequest, SubmitActionResponse};
use serde_json::json;

use crate::mesh::{Operator, print_json, refused};
use crate::{contract_json, span};

/// What is submitted, and how.
#[derive(clap::Args, Debug)]
pub(super) struct Submit {
    /// Type of the action, e.g. `embedding.generate`.
    action_type: String,
    /// Tenant for whom the work is done.
    #[arg(long)]
    tenant: String,
    /// Tier of the tenant: free, advance, professional or enterprise.
    #[arg(long)]
    tier: Tier,
    /// Context of the tenant: `agent-…` or `collection-…`.
    #[arg(long)]
    context: ContextId,
    /// Agent that is entered first; what stands behind `agent-` in the context when absent.
    #[arg(long)]
    agent: Option<AgentId>,
    /// Payload as JSON, with the names of the contract.
    #[arg(long, required_unless_present = "payload_base64", conflicts_with = "payload_base64")]
    payload_json: Option<String>,
    /// Encoded payload in Base64.
    #[arg(long)]
    payload_base64: Option<String>,
    /// How long it stays invisible, e.g. `10s`.
    #[arg(long, value_parser = span::parse, conflicts_with = "at")]
    delay: Option<Duration>,
    /// When it becomes visible, e.g. `2030-01-31T12:00:00Z`.
    #[arg(long, value_parser = moment)]
    at: Option<Timestamp>,
    /// Submits of the tenant and domain with the same key are one action.
    #[arg(long, default_value = "")]
    key: String,
    /// How long the key is remembered; a day when absent.
    #[arg(long, value_parser = span::parse, requires = "key")]
    key_ttl: Option<Duration>,
    /// Let ordered actions of the queue run one at a time, in the order of their submission.
    #[arg(long)]
    ordered: bool,
    /// How long it may wait for its first claim.
    #[arg(long, value_parser = span::parse)]
    ttl: Option<Duration>,
    /// How long it may run, all attempts together.
    #[arg(long, value_parser = span::parse)]
    budget: Option<Duration>,
    /// Attempts until it is given up, 1 to 100.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: Option<u32>,
    #[command(flatten)]
    operator: Operator,
}

impl Submit {
    pub(super) async fn run(self) -> Result<()> {
        let (request, operator) = (self.request()?, self.operator);
        let answer = operator.queues().await?.submit_action(request).await.map_err(|status| refused(&status))?;
        told(&answer.into_inner(), operator.json)
    }

    /// Puts together what is sent.
    pub(super) fn request(&self) -> Result<SubmitActionRequest> {
        let retry = self.max_attempts.map(|max_attempts| RetryPolicy { max_attempts, ..RetryPolicy::default() });
        Ok(SubmitActionRequest {
            action: Some(wire::DomainAction {
                action_type: self.action_type.clone(),
                tenant_id: self.tenant.clone(),
                tier: self.tier.to_proto().into(),
                context: Some(self.execution_context()?),
                payload: Some(self.payload()?),
                ..wire::DomainAction::default()
            }),
            delay: self.delay.map(time::duration_to_proto),
            at: self.at,
            idempotency_key: self.key.clone(),
            idempotency_ttl: self.key_ttl.map(time::duration_to_proto),
            retry,
            time_to_live: self.ttl.map(time::duration_to_proto),
            budget: self.budget.map(time::duration_to_proto),
            ordered: self.ordered,
        })
    }

    /// The catalogue says which message the payload is; an action type that it does not have is the server's to refuse.
    fn payload(&self) -> Result<Any> {
        let entry = catalogue::find(catalogue::canonical(&self.action_type));
        let type_url = entry.map(|entry| entry.payload).unwrap_or_default();
        let value = match (&self.payload_json, &self.payload_base64) {
            (Some(_), _) if type_url.is_empty() => {
                bail!("action type `{}` is not in the catalogue", self.action_type)
            }
            (Some(json), _) => contract_json::encode(&type_url, json).context("read --payload-json")?,
            (None, Some(text)) => STANDARD.decode(text).context("read --payload-base64")?,
            (None, None) => Vec::new(),
        };
        Ok(Any { type_url, value })
    }

    /// An agent whose id begins with `agent-` has its id as its context, so that the context alone does not tell of it.
    fn execution_context(&self) -> Result<wire::ExecutionContext> {
        let id = self.context.as_str();
        let bare = id.split_once('-').map_or(id, |(_, bare)| bare);
        let made = match (self.context.kind(), &self.agent) {
            (ContextType::Agent, Some(agent)) => ExecutionContext::agent(agent.clone()),
            (ContextType::Agent, None) => ExecutionContext::agent(bare.parse().or_else(|_| id.parse())?),
            (ContextType::Collection, _) => ExecutionContext::collection(bare.parse().or_else(|_| id.parse())?),
            (ContextType::Workflow, _) => bail!("workflow contexts are not served by this version"),
        };
        if made.id != self.context {
            bail!(
                "the context of agent {} is {}, not {id}",
                made.primary_agent.map_or_else(String::new, |a| a.to_string()),
                made.id
            );
        }
        Ok(made.to_proto())
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is no point in time: write 2030-01-31T12:00:00Z"))
}

fn told(answer: &SubmitActionResponse, as_json: bool) -> Result<()> {
    let task = answer.task.as_ref().map(|task| task.task_id.as_str()).unwrap_or_default();
    if as_json {
        return print_json(&json!({
            "task_id": task, "action_id": answer.action_id, "queue_name": answer.queue_name,
            "position": answer.position, "known": answer.known,
        }));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "task      {task}")?;
    writeln!(out, "action    {}{}", answer.action_id, if answer.known { " (known already)" } else { "" })?;
    writeln!(out, "queue     {}", answer.queue_name)?;
    if answer.position > 0 {
        writeln!(out, "position  {}", answer.position)?;
    }
    Ok(())
}
