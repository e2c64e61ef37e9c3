//! Where the edge is, and whose certificate it may show.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::Certificate;

use super::DemoFile;

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a command reaches the edge.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Way {
    /// Address of the edge, http:// or https://; where the demo listens when absent.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// PEM file with the authorities that the certificate of an https:// edge may come from; those of the system when absent.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Way {
    /// Makes ready to go there.
    pub(crate) fn open(&self, demo: &DemoFile) -> Result<Door> {
        let base = self.url.clone().unwrap_or_else(|| format!("http://{}", demo.http));
        let secure = match reqwest::Url::parse(&base).with_context(|| format!("understand {base}"))?.scheme() {
            "http" => false,
            "https" => true,
            other => bail!("the edge is reached by http:// or https://, not by {other}://"),
        };
        // A socket begins as a request of HTTP/1.1.
        let mut client = reqwest::Client::builder().http1_only().timeout(PATIENCE);
        if let Some(path) = &self.ca {
            if !secure {
                bail!("--ca needs an edge that has a certificate: --url https://…");
            }
            let shown = path.display();
            let pem = std::fs::read(path).with_context(|| format!("read {shown}"))?;
            let authorities = Certificate::from_pem_bundle(&pem).with_context(|| format!("understand {shown}"))?;
            if authorities.is_empty() {
                bail!("{shown} holds no certificate");
            }
            client = client.tls_certs_only(authorities);
        }
        Ok(Door { client: client.build()?, base: base.trim_end_matches('/').to_owned() })
    }
}

/// A way to the edge that is ready to be gone.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) client: reqwest::Client,
    base: String,
}

impl Door {
    /// Returns the address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}
