//! The REST side of the edge.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DemoTenant, Door, Socket};

/// A tenant's view of a running Nooble.
#[derive(Clone)]
pub(crate) struct Edge {
    door: Door,
    tier: String,
    tenant: DemoTenant,
}

/// An accepted message.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sent {
    /// Task that answers it.
    pub(crate) task_id: String,
    /// Queue that it went to.
    pub(crate) queue_name: String,
    /// Seconds after which an answer can be expected.
    pub(crate) estimated_time: f64,
}

impl Edge {
    /// Takes the way to the edge and who to be there.
    pub(crate) fn new(door: Door, tier: &str, tenant: &DemoTenant) -> Self {
        Self { door, tier: tier.to_owned(), tenant: tenant.clone() }
    }

    /// Sends a message to the tenant's agent.
    pub(crate) async fn send(&self, session: &str, message: &str) -> Result<Sent> {
        let request = self
            .door
            .client
            .post(self.door.url("/api/chat/send"))
            .bearer_auth(&self.tenant.api_key)
            .header("X-Tenant-ID", &self.tenant.tenant_id)
            .header("X-Tenant-Tier", &self.tier)
            .header("X-Agent-ID", &self.tenant.agent_id)
            .header("X-Session-ID", session)
            .json(&json!({ "message": message }));
        Ok(serde_json::from_value(answer(request).await?)?)
    }

    /// Returns a task with its timeline.
    pub(crate) async fn task(&self, task_id: &str) -> Result<Value> {
        let url = self.door.url(&format!("/api/v1/tasks/{task_id}"));
        answer(self.door.client.get(url).bearer_auth(&self.tenant.api_key)).await
    }

    /// Opens the socket of a session.
    pub(crate) async fn socket(&self, session: &str) -> Result<Socket> {
        Socket::open(&self.door, session, &self.tier, &self.tenant).await
    }
}

/// Sends a request and reads its JSON; a problem becomes an error in the problem's words.
async fn answer(request: reqwest::RequestBuilder) -> Result<Value> {
    read(request.send().await.context("reach the edge")?).await
}

/// Reads the JSON of an answer.
pub(super) async fn read(response: reqwest::Response) -> Result<Value> {
    let status = response.status();
    let body: Value = response.json().await.context("read the answer")?;
    if status.is_success() {
        return Ok(body);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    bail!("{} ({status}): {}", text("title"), text("detail"))
}
