//! `nooble demo`: the keys of a running demo and the commands to go on with.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use crate::client::DemoFile;

/// Shows the keys of a running demo and what to try.
#[derive(clap::Args, Debug)]
pub(crate) struct Show {
    /// Where `nooble up --demo` keeps its data.
    #[arg(long, default_value = ".nooble")]
    data_dir: PathBuf,
}

impl Show {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<()> {
        let demo = DemoFile::read(&self.data_dir)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nkeys (also in {})", DemoFile::path(&self.data_dir).display())?;
        for (tier, tenant) in &demo.tenants {
            writeln!(
                out,
                "  {tier:<13}{}  agent {}  collection {}",
                tenant.tenant_id, tenant.agent_id, tenant.collection_id
            )?;
            writeln!(out, "  {:<13}{}", "", tenant.api_key)?;
        }
        let tenant = demo.tenant("enterprise")?;
        writeln!(out, "\ngo on with")?;
        writeln!(out, "  target/release/nooble chat \"What happens when a worker is killed?\"")?;
        writeln!(out, "  curl -s http://{}/health", demo.http)?;
        writeln!(
            out,
            "  curl -s http://{}/api/v1/documents -H 'Authorization: Bearer {}' -F collection_id={} -F file=@your.pdf",
            demo.http, tenant.api_key, tenant.collection_id
        )?;
        writeln!(out, "  buf curl --protocol grpc --http2-prior-knowledge --list-methods http://{}", demo.grpc)?;
        writeln!(out, "  curl -s http://{}/metrics", demo.admin)?;
        writeln!(out, "the README has more, with the WebSocket\n")?;
        Ok(())
    }
}
