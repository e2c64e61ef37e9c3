//! `nooble tenant`, `key`, `agent`, `collection`: makes what a tenant needs, with the operator's key.

use std::io::Write as _;

use action::Tier;
use anyhow::{Context as _, Result};
use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::management::v1::{
    Agent, AgentType, Collection, CreateAgentRequest, CreateApiKeyRequest, CreateCollectionRequest,
    CreateTenantRequest, RevokeApiKeyRequest,
};

use crate::mesh::{Access, Keyed, refused};

/// Makes tenants, keys, agents and collections.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Admin {
    /// Make a tenant.
    TenantCreate {
        /// Identifier; made when absent.
        #[arg(long, default_value = "")]
        id: String,
        /// Name for people.
        name: String,
        /// free, advance, professional or enterprise.
        #[arg(long)]
        plan: Tier,
        #[command(flatten)]
        access: Access,
    },
    /// Make a key, and show its secret this once.
    KeyCreate {
        /// Tenant that it is for.
        tenant_id: String,
        /// What it may be used for; `tenant` when absent.
        #[arg(long)]
        scope: Vec<String>,
        #[command(flatten)]
        access: Access,
    },
    /// Revoke a key.
    KeyRevoke {
        /// Public part of the key: `nbl_<key id>_…`.
        key_id: String,
        #[command(flatten)]
        access: Access,
    },
    /// Make a collection.
    CollectionCreate {
        /// Tenant that it is for.
        tenant_id: String,
        /// Name for people.
        name: String,
        #[command(flatten)]
        access: Access,
    },
    /// Make an agent; with collections it answers from them.
    AgentCreate {
        /// Tenant that it is for.
        tenant_id: String,
        /// Name for people.
        name: String,
        /// What it is told about itself.
        #[arg(long, default_value = "You answer briefly and truthfully.")]
        system_prompt: String,
        /// Collections that it reads.
        #[arg(long)]
        collection: Vec<String>,
        #[command(flatten)]
        access: Access,
    },
}

impl Admin {
    /// Runs the command; what was made is printed as `name value` lines.
    pub(crate) async fn run(self) -> Result<()> {
        let lines = match self {
            Self::TenantCreate { id, name, plan, access } => {
                let request = CreateTenantRequest { tenant_id: id, name, tier: plan.to_proto().into() };
                let answer = client(&access).await?.create_tenant(request).await.map_err(|status| refused(&status))?;
                vec![("tenant_id", answer.into_inner().tenant.context("a tenant was made")?.tenant_id)]
            }
            Self::KeyCreate { tenant_id, scope, access } => key_create(tenant_id, scope, &access).await?,
            Self::KeyRevoke { key_id, access } => {
                let request = RevokeApiKeyRequest { key_id: key_id.clone() };
                client(&access).await?.revoke_api_key(request).await.map_err(|status| refused(&status))?;
                vec![("revoked", key_id)]
            }
            Self::CollectionCreate { tenant_id, name, access } => {
                let collection = Some(Collection { name, ..Default::default() });
                let request = CreateCollectionRequest { tenant_id, collection };
                let answer = client(&access).await?.create_collection(request).await;
                let made = answer.map_err(|status| refused(&status))?.into_inner().collection;
                vec![("collection_id", made.context("a collection was made")?.collection_id)]
            }
            Self::AgentCreate { tenant_id, name, system_prompt, collection, access } => {
                agent_create(tenant_id, name, system_prompt, collection, &access).await?
            }
        };
        let mut out = std::io::stdout().lock();
        for (name, value) in lines {
            writeln!(out, "{name} {value}")?;
        }
        Ok(())
    }
}

type Lines = Vec<(&'static str, String)>;

async fn client(access: &Access) -> Result<ManagementServiceClient<Keyed>> {
    Ok(ManagementServiceClient::new(access.connect().await?))
}

async fn key_create(tenant_id: String, scopes: Vec<String>, access: &Access) -> Result<Lines> {
    let request = CreateApiKeyRequest { tenant_id, name: "made by the command line".to_owned(), scopes };
    let answer = client(access).await?.create_api_key(request).await.map_err(|status| refused(&status))?.into_inner();
    Ok(vec![("key_id", answer.key.context("a key was made")?.key_id), ("api_key", answer.secret)])
}

async fn agent_create(
    tenant_id: String,
    name: String,
    system_prompt: String,
    collections: Vec<String>,
    access: &Access,
) -> Result<Lines> {
    let kind = if collections.is_empty() { AgentType::Conversational } else { AgentType::Rag };
    let agent = Agent { name, system_prompt, collections, r#type: kind.into(), ..Default::default() };
    let request = CreateAgentRequest { tenant_id, agent: Some(agent) };
    let answer = client(access).await?.create_agent(request).await.map_err(|status| refused(&status))?;
    Ok(vec![("agent_id", answer.into_inner().agent.context("an agent was made")?.agent_id)])
}
