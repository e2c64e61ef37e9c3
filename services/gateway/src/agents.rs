//! `/api/v1/agents` and `/api/v1/collections`: what the tenant has made.

use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use fault::{Failure, reason};
use http::{HeaderMap, StatusCode};
use proto::management::v1 as wire;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::body;
use crate::edge::Edge;
use crate::identity::Proved;
use crate::made::{self, MadeId};
use crate::openapi::ProblemView;
use crate::params::Params;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::{AgentView, AgentsView, LimitsView, filled};

/// What an agent is made or changed with. Everything but `name` and `system_prompt` has a default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AgentBody {
    /// Identifies it; made when absent. Only when it is made.
    agent_id: String,
    /// 1 to 100 characters.
    #[schema(max_length = 100)]
    name: String,
    /// At most 500 characters.
    #[schema(max_length = 500)]
    description: String,
    /// 5 to 50 characters out of a-z 0-9 -; made from the name when absent.
    #[schema(pattern = "^([a-z0-9-]{5,50})?$")]
    slug: String,
    /// `conversational` (default) or `rag`, which needs collections.
    #[serde(rename = "type")]
    kind: String,
    /// Model it prefers.
    model: String,
    /// 0 to 1; 0.7 when absent.
    #[schema(minimum = 0, maximum = 1)]
    temperature: Option<f64>,
    /// 1 to 8192; 2048 when absent.
    #[schema(maximum = 8192)]
    max_tokens: u32,
    /// What it is told about itself, 1 to 8000 characters.
    #[schema(max_length = 8000)]
    system_prompt: String,
    /// Collections it reads.
    collections: Vec<String>,
    /// 1 to 50; 10 when absent.
    #[schema(maximum = 50)]
    max_history_messages: u32,
    /// Whether it answers.
    is_active: Option<bool>,
    /// Whether anybody may talk to it under `/{tenant_id}/{slug}`, at the tenant's cost.
    is_public: bool,
    /// Lowest tier that may use it; `free` when absent.
    minimum_tier: String,
    /// Requests that it takes, beside the limits of the tier.
    limits: LimitsView,
}

impl AgentBody {
    fn into_wire(self) -> Result<wire::Agent, Failure> {
        let kind = match self.kind.as_str() {
            "" => wire::AgentType::Unspecified,
            "conversational" => wire::AgentType::Conversational,
            "rag" => wire::AgentType::Rag,
            "workflow" => wire::AgentType::Workflow,
            _ => return Err(invalid("type", "must be conversational or rag")),
        };
        let tier = match self.minimum_tier.as_str() {
            "" => 0,
            text => crate::headers::parse_tier(text, "minimum_tier")?.to_proto().into(),
        };
        Ok(wire::Agent {
            agent_id: self.agent_id,
            name: self.name,
            description: self.description,
            slug: self.slug,
            r#type: kind.into(),
            model: self.model,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            system_prompt: self.system_prompt,
            collections: self.collections,
            max_history_messages: self.max_history_messages,
            is_active: self.is_active.unwrap_or(true),
            is_public: self.is_public,
            minimum_tier: tier,
            limits: Some(self.limits.into()),
            ..wire::Agent::default()
        })
    }
}

/// Lists the tenant's agents by id.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents", operation_id = "listAgents",
    params(
        ("page_size" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Most entries; 20 when absent"),
        ("page_token" = Option<String>, Query, description = "Where to go on, from the answer before"),
    ),
    responses((status = 200, body = AgentsView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn list(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Json<AgentsView>, Refusal> {
    let page = params.page()?;
    let request = wire::ListAgentsRequest { page_size: page.size, page_token: page.token, ..Default::default() };
    let response = edge.peers.management(&caller).list_agents(edge.call(request)).await?.into_inner();
    let agents = response.agents.into_iter().map(AgentView::from).collect();
    Ok(Json(AgentsView { agents, next_page_token: filled(response.next_page_token) }))
}

/// Makes an agent, active from the start.
#[utoipa::path(
    post, path = "/api/v1/agents", tag = "agents", operation_id = "createAgent",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes sending it again safe")),
    request_body = AgentBody,
    responses((status = 201, body = AgentView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn create(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    made: Option<Extension<MadeId>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AgentView>), Refusal> {
    edge.accept_work()?;
    let fields = body::json_object(&headers, body, edge.body()).await?;
    if fields.get("is_active") == Some(&Value::Bool(false)) {
        return Err(invalid("is_active", "can be set when the agent is there; it is made active").into());
    }
    let mut agent = body::typed::<AgentBody>(fields)?.into_wire()?;
    let own = MadeId::fill(made, &mut agent.agent_id);
    let get = wire::GetAgentRequest { agent_id: agent.agent_id.clone(), ..Default::default() };
    let create = wire::CreateAgentRequest { agent: Some(agent), ..Default::default() };
    let mut management = edge.peers.management(&caller);
    let created = management.create_agent(edge.call(create)).await.map(|created| created.into_inner().agent);
    let find = async { Ok(management.get_agent(edge.call(get)).await?.into_inner().agent) };
    Ok((StatusCode::CREATED, shown(made::created(created, own, find).await?)?))
}

/// Returns an agent.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "getAgent",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = AgentView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn get(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(agent_id): Segment,
) -> Result<Json<AgentView>, Refusal> {
    let request = wire::GetAgentRequest { agent_id, ..Default::default() };
    let found = edge.peers.management(&caller).get_agent(edge.call(request)).await?;
    shown(found.into_inner().agent)
}

/// Changes the fields of an agent that the body names.
#[utoipa::path(
    patch, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "updateAgent",
    params(("id" = String, Path, description = "The agent's id")),
    request_body = AgentBody,
    responses((status = 200, body = AgentView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn update(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(agent_id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AgentView>, Refusal> {
    edge.accept_work()?;
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let names = changed(&fields)?;
    let agent = wire::Agent { agent_id, ..body::typed::<AgentBody>(fields)?.into_wire()? };
    let request = wire::UpdateAgentRequest { agent: Some(agent), fields: names, ..Default::default() };
    let changed =
        edge.peers.management(&caller).update_agent(edge.call(request)).await.map_err(|status| named(&status))?;
    shown(changed.into_inner().agent)
}

/// Deletes an agent. What was said to it stays with the conversations.
#[utoipa::path(
    delete, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "deleteAgent",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 204, description = "It is gone"), (status = "default", response = ProblemView)),
)]
pub(crate) async fn delete(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(agent_id): Segment,
) -> Result<StatusCode, Refusal> {
    edge.accept_work()?;
    let request = wire::DeleteAgentRequest { agent_id, ..Default::default() };
    edge.peers.management(&caller).delete_agent(edge.call(request)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn changed(fields: &Map<String, Value>) -> Result<Vec<String>, Failure> {
    if fields.contains_key("agent_id") {
        return Err(invalid("agent_id", "cannot be changed"));
    }
    if fields.is_empty() {
        return Err(Failure::new(&reason::INVALID_FIELD, "the body names no field to change"));
    }
    if let Some((name, _)) = fields.iter().find(|(_, value)| value.is_null()) {
        let name = body::plain(name);
        return Err(Failure::new(&reason::INVALID_FIELD, format!("`{name}` must have a value")).field(name));
    }
    Ok(fields.keys().cloned().collect())
}

fn shown(agent: Option<wire::Agent>) -> Result<Json<AgentView>, Refusal> {
    Ok(Json(AgentView::from(agent.ok_or_else(Failure::internal)?)))
}

/// Callers of the edge know the fields of the body, not the message around them.
pub(crate) fn named(status: &tonic::Status) -> Failure {
    let failure = Failure::from_status(status);
    let Some((outer, inner)) = failure.field_name().and_then(|field| field.split_once('.')) else { return failure };
    let detail = failure.detail().replace(&format!("`{outer}.{inner}`"), &format!("`{inner}`"));
    let known = failure.metadata().iter().cloned();
    known.fold(Failure::new(failure.reason(), detail).field(inner), |named, (key, value)| named.with(key, value))
}

fn invalid(field: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_FIELD, format!("`{field}` {rule}")).field(field)
}
