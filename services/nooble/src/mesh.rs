//! Talking to a running Nooble as its operators and backend teams do: gRPC with a key.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use proto::queue::v1::queue_service_client::QueueServiceClient;
use serde_json::Value;
use service_kit::Settings;
use service_kit::tls::{MeshTls, MeshTlsConfig};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::client::DemoFile;

const DEADLINE: Duration = Duration::from_secs(30);

/// Where to reach the mesh, with the operator's key or another one.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Operator {
    /// `host:port` of a gRPC port.
    #[arg(long, default_value = "127.0.0.1:50051")]
    pub(crate) grpc: String,
    /// File that holds the key to use; the operator's key of the data directory when absent.
    #[arg(long)]
    pub(crate) key_file: Option<PathBuf>,
    /// Where `nooble up` keeps its data.
    #[arg(long, default_value = ".nooble")]
    pub(crate) data_dir: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where to reach the mesh, and as whom.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Access {
    #[command(flatten)]
    operator: Operator,
    /// Act as the demo tenant of this tier instead.
    #[arg(long, conflicts_with = "key_file")]
    tier: Option<String>,
}

/// A channel whose every call carries a key.
pub(crate) type Keyed = InterceptedService<Channel, Key>;

/// The key that calls carry.
#[derive(Clone)]
pub(crate) struct Key(MetadataValue<Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        request.set_timeout(DEADLINE);
        Ok(request)
    }
}

impl Operator {
    /// Connects with the key that the arguments name.
    pub(crate) async fn connect(&self) -> Result<Keyed> {
        let file = self.key_file.clone().unwrap_or_else(|| admin_key(&self.data_dir));
        let key = std::fs::read_to_string(&file).with_context(|| format!("read the key in {}", file.display()))?;
        connect(&self.grpc, key.trim()).await
    }

    /// Connects to the service that operates the queues.
    pub(crate) async fn queues(&self) -> Result<QueueServiceClient<Keyed>> {
        Ok(QueueServiceClient::new(self.connect().await?))
    }
}

impl Access {
    /// Connects with the key that the arguments name.
    pub(crate) async fn connect(&self) -> Result<Keyed> {
        let Some(tier) = &self.tier else { return self.operator.connect().await };
        let demo = DemoFile::read(&self.operator.data_dir)?;
        connect(&demo.grpc, &demo.tenant(tier)?.api_key).await
    }

    /// Tells whether the answer shall be JSON.
    pub(crate) fn json(&self) -> bool {
        self.operator.json
    }
}

/// Prints one JSON document.
pub(crate) fn print_json(document: &Value) -> Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(document)?)?;
    Ok(())
}

/// Connects to a gRPC port with a key; with the certificate that `MESH_TLS_…` name, where the mesh asks for one.
pub(crate) async fn connect(address: &str, key: &str) -> Result<Keyed> {
    let mut settings = Settings::from_process(None);
    let tls = MeshTlsConfig::read(&mut settings);
    settings.finish()?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(Duration::from_secs(5));
    let connected = match tls {
        Some(config) => MeshTls::open(&config)?.channel(&endpoint).await,
        None => endpoint.connect().await,
    };
    let channel = connected.with_context(|| format!("reach gRPC at {address}"))?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {key}").parse().context("a key is plain text")?;
    value.set_sensitive(true);
    Ok(InterceptedService::new(channel, Key(value)))
}

/// Returns where the operator's key of a data directory lies.
pub(crate) fn admin_key(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.key")
}

/// Turns the status of a call into an error in the words of the failure.
pub(crate) fn refused(status: &Status) -> anyhow::Error {
    anyhow::Error::new(fault::Failure::from_status(status))
}
