//! `/api/v1/rate-limit/status` and `/api/v1/usage`: what is left, and what was used. Both read only.

use action::AgentId;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::edge::Edge;
use crate::identity::Proved;
use crate::limits;
use crate::openapi::ProblemView;
use crate::params::{Params, wrong};
use crate::problem::{Refusal, refuse};
use crate::view::{RateLimitView, UsageView};

/// Tells how the limits of the tenant stand, and charges nothing.
#[utoipa::path(
    get, path = "/api/v1/rate-limit/status", tag = "limits", operation_id = "getRateLimitStatus",
    params(("agent_id" = Option<String>, Query, description = "Agent whose own limits are shown besides")),
    responses((status = 200, body = RateLimitView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn status(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Response, Refusal> {
    let (tenant, tier) = caller.tenant()?;
    let agent: Option<AgentId> = params.id("agent_id")?;
    let mut windows = edge.quota.status(&tenant, tier).await.map_err(|error| refuse(&error))?;
    let of_tenant = limits::headers(&windows);
    if let Some(agent) = &agent {
        let agent = edge.admission.access_agent(&caller, agent).await?;
        let own = edge.admission.agent_status(&caller, &agent).await.map_err(|error| refuse(&error))?;
        windows.extend(own);
    }
    let view = RateLimitView::of(&tenant, tier, agent.map(|agent| agent.to_string()), &windows);
    Ok((of_tenant, Json(view)).into_response())
}

/// Tells what the tenant used on a day, today when none is named. Kept for a week.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "limits", operation_id = "getUsage",
    params(("date" = Option<String>, Query, description = "`YYYY-MM-DD`, in UTC")),
    responses((status = 200, body = UsageView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn usage(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Json<UsageView>, Refusal> {
    let (tenant, _) = caller.tenant()?;
    let date = params.one("date")?;
    if date.is_some_and(|date| !is_date(date)) {
        return Err(wrong("date", "must be a day as YYYY-MM-DD").into());
    }
    let usage = edge.quota.usage(&tenant, date).await.map_err(|error| refuse(&error))?;
    let count = |field: &str| usage.counts.get(field).copied().unwrap_or_default();
    Ok(Json(UsageView {
        tenant_id: tenant.to_string(),
        total_requests: count("total_requests"),
        agent_requests: count("agent_requests"),
        workflow_requests: count("workflow_requests"),
        collection_requests: count("collection_requests"),
        query_requests: count("query_requests"),
        total_tokens: count("total_tokens"),
        date: usage.date,
    }))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let number = |part: &str, digits: usize| {
        Some(part).filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    };
    match parts[..] {
        [year, month, day] => {
            number(year, 4).is_some()
                && number(month, 2).is_some_and(|month: u32| (1..=12).contains(&month))
                && number(day, 2).is_some_and(|day: u32| (1..=31).contains(&day))
        }
        _ => false,
    }
}
