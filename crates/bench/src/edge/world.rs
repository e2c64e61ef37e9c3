//! Everything that a measurement needs around the gateway: Redis, tenants with their tokens, what it calls and what it is compared
//! with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::child::Child;
use super::part;
use crate::server::{Persistence, Server, free_port};

/// The tenant of everything that is let in.
pub(crate) const TENANT: &str = "bench";
/// A tenant that may send nothing any more today.
pub(crate) const SPENT: &str = "spent";
/// Requests of that tenant's day.
pub(crate) const SPENT_PER_DAY: u32 = 5;
/// Limits that are looked at and never reached.
const NEVER: &str = "4000000000";

/// What all measurements share; it ends with this handle.
#[derive(Debug)]
pub(crate) struct World {
    /// Counts requests, and holds session logs.
    pub(crate) redis: Server,
    /// Answers the gateway's calls.
    pub(crate) upstream: Child,
    /// What the gateway is compared with.
    pub(crate) bare: Child,
    management: Child,
    program: PathBuf,
    folder: tempfile::TempDir,
    secrets: Secrets,
    /// The tenant that is let in.
    pub(crate) tenant: Guest,
    /// The tenant whose day is used up.
    pub(crate) spent: Guest,
}

/// A tenant, its agent and its token.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) tenant: &'static str,
    pub(crate) tier: &'static str,
    pub(crate) agent: String,
    pub(crate) token: String,
}

#[derive(Debug)]
struct Secrets {
    identity: String,
    tokens: String,
}

impl World {
    /// Starts everything but the gateway. `program` is this product.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let redis = Server::start(Persistence::None)?;
        let folder = tempfile::Builder::new().prefix("nooble-bench").tempdir()?;
        let secret = || format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let secrets = Secrets { identity: secret(), tokens: secret() };
        let upstream = Child::start(part_command(program, "upstream", &json!({})))?;
        let above = format!("http://{}", upstream.address("grpc")?);
        let bare = Child::start(part_command(program, "bare", &json!({ "upstream": above })))?;
        let world = Starting { program, folder: folder.path(), redis: &redis.tcp_url(), secrets: &secrets };
        // It asks itself who calls, so it must know where it is.
        let place = format!("127.0.0.1:{}", free_port()?);
        let itself = format!("http://{place}");
        let management = world.serve("management", "management", &place, &[("AGENT_MANAGEMENT_URL", &itself)])?;
        let tenant = world.guest(&management, TENANT, "professional")?;
        let spent = world.guest(&management, SPENT, "free")?;
        Ok(Self { redis, upstream, bare, management, program: program.to_owned(), folder, secrets, tenant, spent })
    }

    /// Starts a gateway that calls the upstream, with limits that are looked at and never reached but for the tenant whose day is used
    /// up.
    pub(crate) fn gateway(&self, name: &str, more: &[(&str, &str)]) -> Result<Child> {
        let upstream = format!("http://{}", self.upstream.address("grpc")?);
        let settings = [&[("ORCHESTRATOR_URL", upstream.as_str())], more].concat();
        self.serve("gateway", name, &settings)
    }

    /// Starts one of the product's services.
    pub(crate) fn serve(&self, role: &str, name: &str, more: &[(&str, &str)]) -> Result<Child> {
        let management = format!("http://{}", self.management.address("grpc")?);
        let spent = SPENT_PER_DAY.to_string();
        let settings = [
            ("AGENT_MANAGEMENT_URL", management.as_str()),
            ("RATE_LIMIT_PROFESSIONAL_PER_MINUTE", NEVER),
            ("RATE_LIMIT_PROFESSIONAL_PER_DAY", NEVER),
            ("CONCURRENT_TASKS_PROFESSIONAL", NEVER),
            ("TOKENS_PROFESSIONAL_PER_DAY", "1000000000000"),
            ("ORCHESTRATOR_MAX_REQUESTS_PER_SESSION", NEVER),
            ("RATE_LIMIT_FREE_PER_MINUTE", NEVER),
            ("RATE_LIMIT_FREE_PER_DAY", &spent),
            ("ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS", "40000"),
            ("WEBSOCKET_CONNECTIONS_PROFESSIONAL", "20000"),
            ("GATEWAY_WEBSOCKET_CONNECTIONS_PER_USER", "20000"),
            ("GATEWAY_MAX_CONNECTIONS", "40000"),
            ("GATEWAY_MAX_CONNECTIONS_PER_ADDRESS", "40000"),
            // Pings would be counted for whatever else is measured.
            ("ORCHESTRATOR_WEBSOCKET_PING_INTERVAL", "3600"),
        ];
        let redis = self.redis.tcp_url();
        let starting =
            Starting { program: &self.program, folder: self.folder.path(), redis: &redis, secrets: &self.secrets };
        starting.serve(role, name, "127.0.0.1:0", &[&settings, more].concat())
    }

    /// Starts one of the processes beside the product.
    pub(crate) fn part(&self, name: &str, numbers: &serde_json::Value) -> Result<Child> {
        Child::start(part_command(&self.program, name, numbers))
    }
}

struct Starting<'a> {
    program: &'a Path,
    folder: &'a Path,
    redis: &'a str,
    secrets: &'a Secrets,
}

impl Starting<'_> {
    /// Makes a command of the product that sees nothing of this process' settings.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(arguments).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs([
            ("REDIS_URL", self.redis),
            ("IDENTITY_KEY", &self.secrets.identity),
            ("JWT_SECRET", &self.secrets.tokens),
            ("JWT_ISSUER", "nooble"),
            ("JWT_AUDIENCE", "nooble"),
            ("LOG_FORMAT", "json"),
        ]);
        command
    }

    fn serve(&self, role: &str, name: &str, grpc: &str, settings: &[(&str, &str)]) -> Result<Child> {
        let folder = self.folder.join(name);
        let mut command = self.command(&["serve", role, "--grpc", grpc, "--admin", "127.0.0.1:0"]);
        if role == "gateway" {
            command.args(["--http", "127.0.0.1:0"]);
        }
        command.arg("--data-dir").arg(folder).envs(settings.iter().copied());
        Child::start(command)
    }

    /// Makes a tenant with an agent and a token.
    fn guest(&self, management: &Child, tenant: &'static str, tier: &'static str) -> Result<Guest> {
        let folder = self.folder.join("management");
        let folder = folder.to_str().context("a folder with a plain name")?;
        let place = management.address("grpc")?;
        let place = ["--grpc", &place, "--data-dir", folder];
        self.run(&[&["tenant-create", "--id", tenant, "--plan", tier, tenant], &place[..]].concat())?;
        let made = self.run(&[&["agent-create", tenant, "Echo"], &place[..]].concat())?;
        let agent = made.strip_prefix("agent_id ").context("an agent was made")?.to_owned();
        let token = self.run(&["token", "mint", "--tenant", tenant, "--ttl", "6h", "--data-dir", folder])?;
        Ok(Guest { tenant, tier, agent, token })
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            bail!("{}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

fn part_command(program: &Path, name: &str, numbers: &serde_json::Value) -> Command {
    let mut command = Command::new(program);
    command.args(["bench-part", &format!("{}{name}", part::PREFIX), &numbers.to_string()]);
    command
}
