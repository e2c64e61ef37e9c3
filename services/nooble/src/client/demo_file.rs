//! `demo.json`: where a demo listens, and the only place where its keys stand in plain text.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What a demo wrote down about itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct DemoFile {
    /// `host:port` of the HTTP edge.
    pub(crate) http: String,
    /// `host:port` of the gRPC port.
    pub(crate) grpc: String,
    /// `host:port` of the admin port.
    pub(crate) admin: String,
    /// One tenant a tier, by the tier's name.
    pub(crate) tenants: BTreeMap<String, DemoTenant>,
}

/// A tenant of the demo.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct DemoTenant {
    /// The tenant.
    pub(crate) tenant_id: String,
    /// Its key.
    pub(crate) api_key: String,
    /// Its agent, which answers from the guide.
    pub(crate) agent_id: String,
    /// Its collection, which holds the guide.
    pub(crate) collection_id: String,
}

impl std::fmt::Debug for DemoTenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoTenant").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

impl DemoFile {
    /// Returns where the file lies.
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("demo.json")
    }

    /// Reads the file of a data directory.
    pub(crate) fn read(data_dir: &Path) -> Result<Self> {
        let path = Self::path(data_dir);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("read {} (written by `nooble up --demo`)", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))
    }

    /// Writes the file, for its owner alone, in one step.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<()> {
        let fresh = data_dir.join(".demo.json.new");
        let _ = fs::remove_file(&fresh);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        serde_json::to_writer_pretty(&file, self)?;
        file.sync_all()?;
        fs::rename(fresh, Self::path(data_dir))?;
        Ok(())
    }

    /// Returns the tenant of a tier.
    pub(crate) fn tenant(&self, tier: &str) -> Result<&DemoTenant> {
        self.tenants.get(tier).with_context(|| format!("the demo has no tenant of tier `{tier}`"))
    }
}
