//! Agents: the use cases.

use action::{AgentId, CollectionId, TenantId, Tier};
use proto::management::v1 as wire;
use service_kit::Change;
use store::{Connection, Page, Scoped};

use crate::agent::{Settings, apply};
use crate::agent_table as table;
use crate::collections::BOUNDS;
use crate::error::Thing;
use crate::{Error, Management, field};

impl Management {
    /// Makes an agent, active from the start, if the tenant's tier allows one more.
    pub async fn create_agent(&self, tenant: &TenantId, agent: &wire::Agent) -> Result<wire::Agent, Error> {
        let id: AgentId = field::id_or_new("agent.agent_id", &agent.agent_id)?;
        let settings = Settings::read(agent)?;
        let scope = self.database.tenant(tenant);
        let mut transaction = scope.begin().await?;
        let tier = self.find_tenant(&mut *transaction, tenant).await?.tier()?;
        table::refuse_known(&scope, &mut transaction, &id).await?;
        self.check_count(&scope, &mut transaction, tier).await?;
        self.check_collections(&scope, &mut transaction, tier, &settings.collections).await?;
        let slug = table::free_slug(&scope, &mut transaction, &settings, &id).await?;
        table::insert(&scope, &mut transaction, &id, &settings, &slug).await?;
        table::put_collections(&scope, &mut transaction, &id, &settings.collections).await?;
        let made = table::find(&scope, &mut transaction, &id).await?;
        transaction.commit().await?;
        self.changes.announce(Change::Thing(tenant.clone())).await;
        Ok(made)
    }

    /// Returns an agent of the tenant.
    pub async fn agent(&self, tenant: &TenantId, agent: &str) -> Result<wire::Agent, Error> {
        let id: AgentId = field::id("agent_id", agent)?;
        let scope = self.database.tenant(tenant);
        let mut connection = scope.read().acquire().await?;
        table::find(&scope, &mut connection, &id).await
    }

    /// Changes the named fields of an agent and checks the whole of it again.
    pub async fn update_agent(
        &self,
        tenant: &TenantId,
        change: &wire::Agent,
        fields: &[String],
    ) -> Result<wire::Agent, Error> {
        let id: AgentId = field::id("agent.agent_id", &change.agent_id)?;
        let scope = self.database.tenant(tenant);
        let mut transaction = scope.begin().await?;
        let mut agent = table::find(&scope, &mut transaction, &id).await.map_err(named_in_agent)?;
        apply(&mut agent, change, fields)?;
        let settings = Settings::read(&agent)?;
        if fields.iter().any(|field| field == "collections") {
            let tier = self.find_tenant(&mut *transaction, tenant).await?.tier()?;
            self.check_collections(&scope, &mut transaction, tier, &settings.collections).await?;
            table::put_collections(&scope, &mut transaction, &id, &settings.collections).await?;
        }
        let slug = table::free_slug(&scope, &mut transaction, &settings, &id).await?;
        table::update(&scope, &mut transaction, &id, &settings, &slug, agent.is_active).await?;
        let changed = table::find(&scope, &mut transaction, &id).await?;
        transaction.commit().await?;
        self.changes.announce(Change::Thing(tenant.clone())).await;
        Ok(changed)
    }

    /// Lists the tenant's agents by id.
    pub async fn agents(
        &self,
        tenant: &TenantId,
        request: &wire::ListAgentsRequest,
    ) -> Result<wire::ListAgentsResponse, Error> {
        let page = Page::read("agents", 1, BOUNDS, request.page_size, &request.page_token)?;
        let scope = self.database.tenant(tenant);
        let rows = table::list(&scope, &page).await?;
        let most = store::fitting(rows.iter().map(prost::Message::encoded_len));
        let (agents, next_page_token) = page.finish_at(most, rows, |agent| vec![agent.agent_id.clone()]);
        Ok(wire::ListAgentsResponse { agents, next_page_token })
    }

    /// Deletes an agent of the tenant; its slug is free again. What was said to it stays with the conversations.
    pub async fn delete_agent(&self, tenant: &TenantId, agent: &str) -> Result<(), Error> {
        let id: AgentId = field::id("agent_id", agent)?;
        let scope = self.database.tenant(tenant);
        let mut transaction = scope.begin().await?;
        table::delete(&scope, &mut transaction, &id).await?;
        transaction.commit().await?;
        self.changes.announce(Change::Thing(tenant.clone())).await;
        Ok(())
    }

    async fn check_count(&self, scope: &Scoped<'_>, connection: &mut Connection, tier: Tier) -> Result<(), Error> {
        let Some(limit) = self.tiers.of(tier).max_agents else { return Ok(()) };
        let count: i64 =
            scope.query_scalar("SELECT COUNT(*) FROM agents WHERE tenant_id = $1").fetch_one(connection).await?;
        if count < i64::from(limit) {
            return Ok(());
        }
        Err(Error::TierLimit { field: "agent", tier, limit, what: "agents" })
    }

    async fn check_collections(
        &self,
        scope: &Scoped<'_>,
        connection: &mut Connection,
        tier: Tier,
        collections: &[CollectionId],
    ) -> Result<(), Error> {
        const FIELD: &str = "agent.collections";
        if let Some(limit) = self.tiers.of(tier).collections_per_agent
            && collections.len() > limit as usize
        {
            return Err(Error::TierLimit { field: FIELD, tier, limit, what: "collections for an agent" });
        }
        for id in collections {
            let known: i64 = scope
                .query_scalar("SELECT COUNT(*) FROM collections WHERE tenant_id = $1 AND collection_id = $2")
                .bind(id.as_str().to_owned())
                .fetch_one(&mut *connection)
                .await?;
            if known == 0 {
                return Err(Error::NotFound { thing: Thing::Collection, field: FIELD });
            }
        }
        Ok(())
    }
}

fn named_in_agent(error: Error) -> Error {
    match error {
        Error::NotFound { thing, .. } => Error::NotFound { thing, field: "agent.agent_id" },
        other => other,
    }
}
