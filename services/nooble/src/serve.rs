//! `nooble serve`: some services, so that they can be spread over processes and machines.

use std::path::PathBuf;

use anyhow::Result;
use service_kit::Part;

use crate::roles::Role;
use crate::run::{self, Addresses, Plan};

/// Runs some services. Needs REDIS_URL, IDENTITY_KEY_FILE and the addresses of the other services.
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// Services to run.
    #[arg(required = true)]
    roles: Vec<Role>,
    /// Which half of them: façades, or workers.
    #[arg(long, default_value = "all")]
    part: Half,
    /// Where databases, uploads and keys lie.
    #[arg(long, default_value = ".nooble")]
    data_dir: PathBuf,
    #[command(flatten)]
    addresses: Addresses,
    /// Settings file in TOML; the environment wins over it.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Which half of a service runs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Half {
    /// Façades and workers.
    All,
    /// Façades, tasks and session streams.
    Api,
    /// Claim loops; the gRPC port has health and reflection only.
    Worker,
}

impl Serve {
    /// Tells whether a service is among those that run.
    pub(crate) fn runs(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        let part = match self.part {
            Half::All => Part::All,
            Half::Api => Part::Api,
            Half::Worker => Part::Worker,
        };
        let plan = Plan {
            roles: self.roles,
            part,
            without_worker: Vec::new(),
            addresses: self.addresses,
            data_dir: self.data_dir,
            config: self.config,
            whole: false,
        };
        Box::pin(run::run(plan, |_, _| async { Ok(()) })).await
    }
}
