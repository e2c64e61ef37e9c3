//! Public addresses: `{tenant_slug}/{slug}`, in a path or as `{tenant_slug}.{domain}/{slug}`.

use action::TenantId;
use proto::management::v1 as wire;

use crate::agent_table as table;
use crate::tenants::Tenant;
use crate::{Error, Management, slug};

/// What an agent's slug may stand behind in an address.
const AGENT_PREFIXES: [&str; 2] = ["agente-", "agent-"];

impl Management {
    /// Finds the public agent that an address names, with its tenant. Whatever is not there, not active or not public looks
    /// the same from outside.
    pub async fn public_agent(&self, tenant_slug: &str, slug: &str) -> Result<(wire::Tenant, wire::Agent), Error> {
        // Nothing but agents can be talked to in public.
        if slug.is_empty() || slug::is_reserved(slug) {
            return Err(Error::ContextNotResolved);
        }
        let tenant = self.tenant_of_slug(tenant_slug).await?.filter(|tenant| tenant.is_active);
        let tenant = tenant.ok_or(Error::ContextNotResolved)?.into_wire()?;
        let id: TenantId = tenant.tenant_id.parse()?;
        let scope = self.database.tenant(&id);
        let mut connection = scope.read().acquire().await?;
        // An agent whose slug begins like the prefix is meant before one that only stands behind it.
        let bare = AGENT_PREFIXES.iter().find_map(|prefix| slug.strip_prefix(prefix));
        for candidate in [Some(slug), bare].into_iter().flatten() {
            let found = table::find_slug(&scope, &mut connection, candidate).await?;
            if let Some(agent) = found.filter(|agent| agent.is_active && agent.is_public) {
                return Ok((tenant, agent));
            }
        }
        Err(Error::ContextNotResolved)
    }

    /// Finds the tenant of this id, or else the only one whose id reads like this in a host name.
    async fn tenant_of_slug(&self, slug: &str) -> Result<Option<Tenant>, Error> {
        let Ok(id) = slug.parse::<TenantId>() else { return Ok(None) };
        match self.find_tenant(self.database.read(), &id).await {
            Ok(tenant) => return Ok(Some(tenant)),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut alike = self.tenants_like(&id).await?;
        let first = alike.pop();
        Ok(first.filter(|_| alike.is_empty()))
    }
}
