//! `nooble up`: everything in one process, for a laptop.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use service_kit::{Kit, Part};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::DemoFile;
use crate::demo;
use crate::roles::Role;
use crate::run::{self, Addresses, Listening, Plan};

/// Runs everything in one process, with a Redis of its own unless `REDIS_URL` is set.
#[derive(clap::Args, Debug)]
pub(crate) struct Up {
    /// Where databases, uploads, keys and the managed Redis lie.
    #[arg(long, default_value = ".nooble")]
    data_dir: PathBuf,
    #[command(flatten)]
    addresses: Addresses,
    /// Make four tenants, one per tier, each with an agent that answers from the guide.
    #[arg(long)]
    demo: bool,
    /// Settings file in TOML; the environment wins over it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Leave the workers of a service to processes of their own (`nooble serve … --part worker`).
    #[arg(long, value_name = "ROLE")]
    without_worker: Vec<Role>,
}

impl Up {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        let (with_demo, data_dir) = (self.demo, self.data_dir.clone());
        let plan = Plan {
            roles: Role::ALL.to_vec(),
            part: Part::All,
            without_worker: self.without_worker,
            addresses: self.addresses,
            data_dir: self.data_dir,
            config: self.config,
            whole: true,
        };
        let on_start = |kit: Kit, listening: Listening| async move {
            if with_demo {
                make_demo(&kit, &data_dir, &listening).await?;
            }
            Ok(())
        };
        Box::pin(run::run(plan, on_start)).await
    }
}

async fn make_demo(kit: &Kit, data_dir: &Path, listening: &Listening) -> Result<()> {
    let tenants = demo::seed(&kit.peers, data_dir).await.context("make the demo")?;
    let text = |address: Option<std::net::SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let file = DemoFile {
        http: text(listening.http),
        grpc: listening.grpc.to_string(),
        admin: text(listening.admin),
        tenants: tenants.into_iter().map(|(tier, tenant)| (tier.to_string(), tenant)).collect(),
    };
    file.write(data_dir).context("write demo.json")
}

/// A demo of its own on a scratch directory, for measuring.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    child: Child,
}

impl Scratch {
    /// Starts `nooble up --demo` and waits until it is ready.
    pub(crate) async fn demo() -> Result<Self> {
        Self::start(&["--demo"], &[]).await
    }

    /// Starts `nooble up` with arguments and settings, and waits until it is ready.
    pub(crate) async fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nooble-bench").tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder.path())
            .args(arguments)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("ready ") {
                return Ok(Self { folder, child });
            }
        }
        bail!("the scratch demo ended before it was ready; `nooble up --demo` tells why")
    }

    /// Returns its data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id.cast_signed()), nix::sys::signal::SIGTERM);
        }
        self.child.wait().await?;
        Ok(())
    }
}
