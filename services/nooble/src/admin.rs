//! `nooble tenant-…`, `agent-…`, `collection-…` and what is done with keys, with the operator's key.

mod keys;

use std::io::Write as _;
use std::time::Duration;

use action::Tier;
use anyhow::{Context as _, Result};
use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::management::v1::{
    Agent, AgentType, Collection, CreateAgentRequest, CreateCollectionRequest, CreateTenantRequest, RevokeApiKeyRequest,
};
use serde_json::Value;

use crate::mesh::{Access, Keyed, print_json, refused};
use crate::span;

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
        /// How long it lasts, e.g. 90d; until it is revoked when absent.
        #[arg(long, value_parser = span::parse)]
        expires_in: Option<Duration>,
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
    /// Make a key in the place of another one, and show its secret this once.
    KeyRotate {
        /// Public part of the key: `nbl_<key id>_…`.
        key_id: String,
        /// How long the old key goes on working, e.g. 24h; 0s ends it at once.
        #[arg(long, default_value = "24h", value_parser = span::parse)]
        overlap: Duration,
        /// How long the new key lasts; as long as the old one did when absent.
        #[arg(long, value_parser = span::parse)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        access: Access,
    },
    /// List keys, never their secrets.
    KeyList {
        /// Tenant whose keys to list; all of them when absent.
        #[arg(long, default_value = "")]
        tenant: String,
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
    fn access(&self) -> &Access {
        match self {
            Self::TenantCreate { access, .. }
            | Self::KeyCreate { access, .. }
            | Self::KeyRotate { access, .. }
            | Self::KeyList { access, .. }
            | Self::KeyRevoke { access, .. }
            | Self::CollectionCreate { access, .. }
            | Self::AgentCreate { access, .. } => access,
        }
    }

    /// Runs the command; what was made is printed as `name value` lines, or as one JSON document.
    pub(crate) async fn run(self) -> Result<()> {
        let as_json = self.access().json();
        let lines = match self {
            Self::TenantCreate { id, name, plan, access } => {
                let request = CreateTenantRequest { tenant_id: id, name, tier: plan.to_proto().into() };
                let answer = client(&access).await?.create_tenant(request).await.map_err(|status| refused(&status))?;
                vec![("tenant_id", answer.into_inner().tenant.context("a tenant was made")?.tenant_id)]
            }
            Self::KeyCreate { tenant_id, scope, expires_in, access } => {
                keys::create(tenant_id, scope, expires_in, &access).await?
            }
            Self::KeyRotate { key_id, overlap, expires_in, access } => {
                keys::rotate(key_id, overlap, expires_in, &access).await?
            }
            Self::KeyList { tenant, access } => return keys::list(&tenant, &access).await,
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
        if as_json {
            let named = lines.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
            return print_json(&named.collect());
        }
        print(lines)
    }
}

type Lines = Vec<(&'static str, String)>;

fn print(lines: Lines) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in lines {
        writeln!(out, "{name} {value}")?;
    }
    Ok(())
}

async fn client(access: &Access) -> Result<ManagementServiceClient<Keyed>> {
    Ok(ManagementServiceClient::new(access.connect().await?))
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
