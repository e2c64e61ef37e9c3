//! `/v1/models`: the agents that a caller may use.

use action::{AgentId, Tier};
use axum::Json;
use axum::extract::State;
use fault::{Failure, reason};
use proto::management::v1::{Agent, AgentType, ListAgentsRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::no_model;
use crate::edge::Edge;
use crate::identity::Proved;
use crate::openapi::OpenAiErrorView;
use crate::problem::Refusal;
use crate::router::Segment;

/// What an agent's id stands behind in the id of its model.
const PREFIX: &str = "agent:";
/// Pages of agents that are looked at, and agents of each.
const PAGES: usize = 10;
const PAGE: i32 = 100;

/// Agents as models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelsView {
    object: &'static str,
    data: Vec<ModelView>,
}

/// An agent as a model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// `agent:<id>`.
    id: String,
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    owned_by: String,
}

impl From<&Agent> for ModelView {
    fn from(agent: &Agent) -> Self {
        Self {
            id: format!("{PREFIX}{}", agent.agent_id),
            object: "model",
            created: agent.created_at.as_ref().map_or(0, |at| at.seconds),
            owned_by: agent.tenant_id.clone(),
        }
    }
}

/// Lists the agents that the caller may use as models, by id, out of the first 1,000 of the tenant.
#[utoipa::path(
    get, path = "/v1/models", tag = "openai", operation_id = "listModels",
    responses((status = 200, body = ModelsView), (status = "default", response = OpenAiErrorView)),
)]
pub(crate) async fn list(State(edge): State<Edge>, Proved(caller): Proved) -> Result<Json<ModelsView>, Refusal> {
    let (_, tier) = caller.tenant()?;
    let mut management = edge.peers.management(&caller);
    let (mut data, mut page_token) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let request = ListAgentsRequest { page_size: PAGE, page_token, ..ListAgentsRequest::default() };
        let page = management.list_agents(edge.call(request)).await?.into_inner();
        data.extend(page.agents.iter().filter(|agent| is_model(agent, tier)).map(ModelView::from));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(Json(ModelsView { object: "list", data }))
}

/// Returns an agent that the caller may use as a model. One that it may not use is as one that is not there.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "openai", operation_id = "getModel",
    params(("id" = String, Path, description = "`agent:<id>`")),
    responses((status = 200, body = ModelView), (status = "default", response = OpenAiErrorView)),
)]
pub(crate) async fn get(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(id): Segment,
) -> Result<Json<ModelView>, Refusal> {
    let missing = || no_model("there is no such model; `GET /v1/models` lists those that there are");
    let (_, tier) = caller.tenant()?;
    let agent = agent_of(&id).ok_or_else(missing)?;
    let denied = |failure: Failure| if failure.reason() == &reason::ACCESS_DENIED { missing() } else { failure };
    let agent = edge.admission.access_agent(&caller, &agent).await.map_err(denied)?;
    if !is_model(&agent, tier) {
        return Err(missing().into());
    }
    Ok(Json(ModelView::from(&*agent)))
}

/// Reads the agent out of the id of a model.
pub(super) fn agent_of(model: &str) -> Option<AgentId> {
    model.strip_prefix(PREFIX).and_then(|id| id.parse().ok())
}

fn is_model(agent: &Agent, tier: Tier) -> bool {
    service_kit::may_use(agent, tier) && agent.r#type() != AgentType::Workflow
}
