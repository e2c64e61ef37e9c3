//! Makes what a demo shows, through the gRPC API, and finds it again on the next start.

use std::path::Path;
use std::time::Duration;

use action::{Domain, TenantId, Tier};
use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use proto::action::v1::Status;
use proto::ingestion::v1::upload_document_request::Part;
use proto::ingestion::v1::{DocumentHeader, ListDocumentsRequest, UploadDocumentRequest};
use proto::management::v1::{
    Agent, AgentType, Collection, CreateAgentRequest, CreateApiKeyRequest, CreateCollectionRequest,
    CreateTenantRequest, ResolveCredentialRequest,
};
use proto::task::v1::WaitTaskRequest;
use service_kit::{Caller, Identity, Peers, Scope, Scopes};
use tonic::Code;

use super::guide::{self, Page};
use crate::client::{DemoFile, DemoTenant};
use crate::mesh::refused;

/// Longest time that a page of the guide takes from upload to index, model start included.
const PATIENCE: Duration = Duration::from_mins(2);

const SYSTEM_PROMPT: &str = "You answer questions about Nooble from its guide, briefly, and say where it stands.";

/// Makes or finds the four tenants, and waits until their agents can answer.
pub(crate) async fn seed(peers: &Peers, data_dir: &Path) -> Result<Vec<(Tier, DemoTenant)>> {
    let before = DemoFile::read(data_dir).ok();
    try_join_all(Tier::ALL.into_iter().map(|tier| {
        let known = before.as_ref().and_then(|demo| demo.tenants.get(tier.as_str()));
        async move { Ok((tier, tenant(peers, tier, known).await?)) }
    }))
    .await
}

async fn tenant(peers: &Peers, tier: Tier, known: Option<&DemoTenant>) -> Result<DemoTenant> {
    let made = DemoTenant {
        tenant_id: format!("demo-{tier}"),
        api_key: String::new(),
        agent_id: format!("guide-{tier}"),
        collection_id: format!("guide-{tier}"),
    };
    let mut management = peers.management(operator());
    let id = made.tenant_id.clone();
    let request =
        CreateTenantRequest { tenant_id: id.clone(), name: format!("Demo {tier}"), tier: tier.to_proto().into() };
    made_or_found(management.create_tenant(request).await)?;
    let api_key = key(peers, &id, known).await?;
    let collection =
        Collection { collection_id: made.collection_id.clone(), name: "Guide".to_owned(), ..Default::default() };
    let request = CreateCollectionRequest { tenant_id: id.clone(), collection: Some(collection) };
    made_or_found(management.create_collection(request).await)?;
    let agent = Agent {
        agent_id: made.agent_id.clone(),
        name: "Guide".to_owned(),
        r#type: AgentType::Rag.into(),
        system_prompt: SYSTEM_PROMPT.to_owned(),
        collections: vec![made.collection_id.clone()],
        ..Default::default()
    };
    made_or_found(management.create_agent(CreateAgentRequest { tenant_id: id.clone(), agent: Some(agent) }).await)?;
    let identity = Identity::tenant(id.parse::<TenantId>()?, tier);
    index(peers, &identity, &made.collection_id).await.with_context(|| format!("index the guide for {id}"))?;
    Ok(DemoTenant { api_key, ..made })
}

/// The demo is made as the operator would make it.
fn operator() -> Identity {
    Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() }.into()
}

fn made_or_found<T>(answer: Result<T, tonic::Status>) -> Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::AlreadyExists => Ok(()),
        Err(status) => Err(refused(&status)),
    }
}

/// Returns the key of an earlier start while it is valid, or makes one.
async fn key(peers: &Peers, tenant_id: &str, known: Option<&DemoTenant>) -> Result<String> {
    if let Some(known) = known {
        let request = ResolveCredentialRequest { credential: known.api_key.clone() };
        if peers.management(Identity::service()).resolve_credential(request).await.is_ok() {
            return Ok(known.api_key.clone());
        }
    }
    let request =
        CreateApiKeyRequest { tenant_id: tenant_id.to_owned(), name: "demo".to_owned(), ..Default::default() };
    let answer = peers.management(operator()).create_api_key(request).await.map_err(|status| refused(&status))?;
    Ok(answer.into_inner().secret)
}

/// Uploads the pages that the collection does not hold yet, and waits until all can be found.
async fn index(peers: &Peers, identity: &Identity, collection_id: &str) -> Result<()> {
    let request =
        ListDocumentsRequest { collection_id: collection_id.to_owned(), page_size: 100, ..Default::default() };
    let held = peers.ingestion(identity).list_documents(request).await.map_err(|status| refused(&status))?;
    let held = held.into_inner().documents;
    for page in guide::PAGES {
        let found = held.iter().any(|document| {
            document.document_id == page.document_id() && document.status == i32::from(Status::Completed)
        });
        if !found {
            upload(peers, identity, collection_id, page).await.with_context(|| format!("upload `{}`", page.title))?;
        }
    }
    Ok(())
}

async fn upload(peers: &Peers, identity: &Identity, collection_id: &str, page: &Page) -> Result<()> {
    let header = DocumentHeader {
        collection_id: collection_id.to_owned(),
        title: page.title.to_owned(),
        file_name: format!("{}.md", page.name),
        media_type: "text/markdown".to_owned(),
        document_id: page.document_id(),
        session_id: String::new(),
        task_id: String::new(),
    };
    let parts = [Part::Header(header), Part::Data(page.text.as_bytes().to_vec())];
    let stream = futures::stream::iter(parts.map(|part| UploadDocumentRequest { part: Some(part) }));
    let answer = peers.ingestion(identity).upload_document(stream).await.map_err(|status| refused(&status))?;
    let task_id = answer.into_inner().task.context("an upload makes a task")?.task_id;
    let mut request =
        tonic::Request::new(WaitTaskRequest { task_id, timeout: Some(action::time::duration_to_proto(PATIENCE)) });
    request.set_timeout(PATIENCE + Duration::from_secs(5));
    let answer =
        peers.tasks(Domain::Ingestion, identity).wait_task(request).await.map_err(|status| refused(&status))?;
    let task = answer.into_inner().task.context("a task that was waited for is returned")?;
    if task.status == i32::from(Status::Completed) {
        return Ok(());
    }
    let error = task.error.map(|error| error.message).unwrap_or_default();
    bail!("the task ended without success: {error}")
}
