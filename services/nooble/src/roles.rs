//! The services that a process can run, and how each is made.

use anyhow::{Context as _, Result};
use service_kit::{Kit, Service, Settings};

/// A service that a process can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// The edge: REST and WebSocket in, gRPC out.
    Gateway,
    /// Messages in, callbacks to frames, sessions to gateways.
    Orchestrator,
    /// Runs agents.
    Execution,
    /// Tenants, keys, agents, collections.
    Management,
    /// Histories.
    Conversation,
    /// Texts to vectors.
    Embedding,
    /// Search, and answers with sources.
    Query,
    /// Documents to passages.
    Ingestion,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 8] = [
        Self::Gateway,
        Self::Orchestrator,
        Self::Execution,
        Self::Management,
        Self::Conversation,
        Self::Embedding,
        Self::Query,
        Self::Ingestion,
    ];
}

/// The settings of the services of a process.
#[derive(Debug)]
pub(crate) struct Configs {
    roles: Vec<Role>,
    orchestrator: Option<orchestrator::Config>,
    execution: Option<execution::Config>,
    management: Option<management::Config>,
    conversation: Option<conversation::Config>,
    embedding: Option<embedding::Config>,
    query: Option<query::Config>,
    ingestion: Option<ingestion::Config>,
    models: models::Config,
}

impl Configs {
    /// Reads the settings of every service, so that one file can serve a whole mesh, and keeps those of the roles.
    pub(crate) fn read(settings: &mut Settings, roles: &[Role]) -> Self {
        let (orchestrator, execution) = (orchestrator::Config::read(settings), execution::Config::read(settings));
        let (management, conversation) = (management::Config::read(settings), conversation::Config::read(settings));
        let (embedding, query) = (embedding::Config::read(settings), query::Config::read(settings));
        let ingestion = ingestion::Config::read(settings);
        let has = |role| roles.contains(&role);
        Self {
            roles: roles.to_vec(),
            orchestrator: has(Role::Orchestrator).then_some(orchestrator),
            execution: has(Role::Execution).then_some(execution),
            management: has(Role::Management).then_some(management),
            conversation: has(Role::Conversation).then_some(conversation),
            embedding: has(Role::Embedding).then_some(embedding),
            query: has(Role::Query).then_some(query),
            ingestion: has(Role::Ingestion).then_some(ingestion),
            models: crate::models::read(settings),
        }
    }

    /// Tells whether access is validated by the services of this process, as far as they take messages in.
    pub(crate) fn validates_access(&self) -> bool {
        self.orchestrator.as_ref().is_none_or(|config| config.enable_access_validation)
    }

    /// Makes the services; models are opened only where a role uses them.
    pub(crate) async fn services(self, kit: &Kit) -> Result<Vec<(Role, Service)>> {
        let has = |role| self.roles.contains(&role);
        let mut services = Vec::new();
        if let Some(config) = self.management {
            // The operator's key stands beside the tables that know it.
            management::admin_key(&config, &kit.data_dir).await.context("keep the operator's key")?;
            services.push((Role::Management, management::service(config, kit).await?));
        }
        if let Some(config) = self.conversation {
            services.push((Role::Conversation, conversation::service(config, kit).await?));
        }
        if let Some(config) = self.embedding {
            let model = models::open_embedder(&self.models.embedding).await.context("open the embedding model")?;
            services.push((Role::Embedding, embedding::service(config, kit, model).await?));
        }
        if let Some(mut config) = self.ingestion {
            // Documents are read by this program, in processes of their own.
            let program = std::env::current_exe().context("find this program")?;
            config.reader = Some(ingestion::ReaderProgram::new(program, ["read-document"]));
            // It cuts texts as the model reads them; the model itself is embedding's.
            let tokens = models::Tokens::open(&self.models.embedding).await.context("open the tokenizer")?;
            services.push((Role::Ingestion, ingestion::service(config, kit, tokens).await?));
        }
        if has(Role::Query) || has(Role::Execution) {
            let model = models::open_language_model(&self.models.llm).context("open the language model")?;
            if let Some(config) = self.query {
                services.push((Role::Query, query::service(config, kit, model.clone()).await?));
            }
            if let Some(config) = self.execution {
                services.push((Role::Execution, execution::service(config, kit, model).await?));
            }
        }
        if let Some(config) = self.orchestrator {
            services.push((Role::Orchestrator, orchestrator::service(config, kit).await?));
        }
        Ok(services)
    }
}
