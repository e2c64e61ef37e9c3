//! Tenants.

use std::time::{SystemTime, UNIX_EPOCH};

use action::{TenantId, Tier, time};
use proto::management::v1 as wire;
use service_kit::Change;
use sqlx::FromRow;
use store::Sql;

use crate::error::Thing;
use crate::{Error, Management, field};

/// A row of `tenants`.
#[derive(FromRow)]
#[expect(clippy::struct_field_names, reason = "fields have the names of the columns")]
pub(crate) struct Tenant {
    tenant_id: String,
    name: String,
    tier: String,
    pub(crate) is_active: bool,
    created_at: i64,
}

impl Tenant {
    pub(crate) fn tier(&self) -> Result<Tier, Error> {
        self.tier.parse().map_err(|_| store::Error::Stored("tier").into())
    }

    pub(crate) fn into_wire(self) -> Result<wire::Tenant, Error> {
        Ok(wire::Tenant {
            tier: self.tier()?.to_proto().into(),
            tenant_id: self.tenant_id,
            name: self.name,
            is_active: self.is_active,
            created_at: Some(time::from_unix_ms(self.created_at.unsigned_abs())),
        })
    }
}

impl Management {
    /// Makes a tenant. `ALREADY_EXISTS` when the id is taken.
    pub async fn create_tenant(&self, request: wire::CreateTenantRequest) -> Result<wire::Tenant, Error> {
        let id: TenantId = field::id_or_new("tenant_id", &request.tenant_id)?;
        if TenantId::is_reserved(id.as_str()) {
            return Err(Error::field("tenant_id", "is a name that addresses of the product begin with"));
        }
        let name = field::line("name", &request.name, 1..=100)?;
        let tier = Tier::from_proto(request.tier)?;
        let tenant: Tenant = self
            .database
            .tenant(&id)
            .query_as(
                "INSERT INTO tenants (tenant_id, name, tier, is_active, created_at) VALUES ($1, $2, $3, TRUE, $4) \
                 RETURNING tenant_id, name, tier, is_active, created_at",
            )
            .bind(name)
            .bind(tier.as_str())
            .bind(now_ms())
            .fetch_one(self.database.write())
            .await
            .map_err(Error::exists("tenant_id"))?;
        self.changes.announce(Change::Tenant(id.clone())).await;
        tracing::info!(tenant_id = %id, %tier, "tenant made");
        tenant.into_wire()
    }

    /// Returns a tenant.
    pub async fn tenant(&self, id: &TenantId) -> Result<wire::Tenant, Error> {
        self.find_tenant(self.database.read(), id).await?.into_wire()
    }

    /// Changes a tenant: whatever the request sets.
    pub async fn update_tenant(&self, request: wire::UpdateTenantRequest) -> Result<wire::Tenant, Error> {
        let id: TenantId = field::id("tenant_id", &request.tenant_id)?;
        let name = request.name.as_deref().map(|name| field::line("name", name, 1..=100)).transpose()?;
        let tier = if request.tier == 0 { None } else { Some(Tier::from_proto(request.tier)?) };
        let tenant: Option<Tenant> = self
            .database
            .tenant(&id)
            .query_as(
                "UPDATE tenants SET name = COALESCE($2, name), tier = COALESCE($3, tier), \
                 is_active = COALESCE($4, is_active) WHERE tenant_id = $1 \
                 RETURNING tenant_id, name, tier, is_active, created_at",
            )
            .bind(name)
            .bind(tier.map(Tier::as_str))
            .bind(request.is_active)
            .fetch_optional(self.database.write())
            .await?;
        let tenant = tenant.ok_or(UNKNOWN)?;
        self.changes.announce(Change::Tenant(id.clone())).await;
        tracing::info!(tenant_id = %id, tier = tenant.tier, is_active = tenant.is_active, "tenant changed");
        tenant.into_wire()
    }

    /// Returns the tenants, two at most, whose ids differ from this one in nothing that a host name shows.
    pub(crate) async fn tenants_like(&self, id: &TenantId) -> Result<Vec<Tenant>, Error> {
        let sql = "SELECT tenant_id, name, tier, is_active, created_at FROM tenants \
                   WHERE REPLACE(LOWER(tenant_id), '_', '-') = REPLACE(LOWER($1), '_', '-') LIMIT 2";
        Ok(self.database.tenant(id).query_as(sql).fetch_all(self.database.read()).await?)
    }

    pub(crate) async fn find_tenant<'e>(
        &self,
        executor: impl sqlx::Executor<'e, Database = Sql>,
        id: &TenantId,
    ) -> Result<Tenant, Error> {
        self.database
            .tenant(id)
            .query_as("SELECT tenant_id, name, tier, is_active, created_at FROM tenants WHERE tenant_id = $1")
            .fetch_optional(executor)
            .await?
            .ok_or(UNKNOWN)
    }
}

const UNKNOWN: Error = Error::NotFound { thing: Thing::Tenant, field: "tenant_id" };

/// Milliseconds since 1970, as the tables have it.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
