//! `nooble doctor`: checks an installation and its queues, says what to do about them, and measures start and idle memory.

mod memory;
mod queues;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use service_kit::Settings;

use crate::up::Scratch;

/// Checks an installation and its queues, and says what to do about them.
#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// Where `nooble up` keeps its data.
    #[arg(long, default_value = ".nooble")]
    data_dir: PathBuf,
    /// Do not start a scratch instance to measure start and memory.
    #[arg(long)]
    no_measure: bool,
    /// Repair what contradicts the rules of the queues.
    #[arg(long)]
    repair: bool,
}

/// A finding: fine, or what to do.
enum Finding {
    Fine(String),
    Advice(String),
    Broken(String),
}

use Finding::{Advice, Broken, Fine};

impl Doctor {
    /// Runs the command; fails when something is broken.
    pub(crate) async fn run(self) -> Result<()> {
        let mut settings = Settings::from_process(None);
        let process = crate::settings::Process::read(&mut settings);
        let mut findings = vec![
            broker_of(process.redis_url.as_deref()).await,
            embedding_model(&mut settings),
            writable(&self.data_dir),
        ];
        findings.extend(queues::look(process.redis_url.as_deref(), &self.data_dir, self.repair).await);
        if !self.no_measure {
            findings.extend(measured().await);
        }
        if let Err(invalid) = settings.finish() {
            findings.push(Broken(invalid.to_string()));
        }
        let mut out = std::io::stdout().lock();
        let mut broken = 0;
        for finding in findings {
            match finding {
                Fine(text) => writeln!(out, "  ok      {text}")?,
                Advice(text) => writeln!(out, "  advice  {text}")?,
                Broken(text) => {
                    broken += 1;
                    writeln!(out, "  broken  {text}")?;
                }
            }
        }
        if broken > 0 {
            bail!("{broken} things are broken");
        }
        Ok(())
    }
}

/// Looks at the Redis in use: the one that is named, or the program that `nooble up` would start.
async fn broker_of(url: Option<&str>) -> Finding {
    let Some(url) = url else {
        return installed_server();
    };
    let info = match ::broker::Redis::connect(url).await {
        Ok(redis) => redis.server().await,
        Err(error) => Err(error),
    };
    match info {
        Err(error) => Broken(format!("REDIS_URL: {error}; check that it runs and that the URL is right")),
        Ok(info) if info.evicts() => {
            Broken(format!("Redis evicts keys ({}): set maxmemory-policy noeviction", info.eviction))
        }
        Ok(info) if !info.aof => {
            Advice(format!("Redis {} keeps no append-only file: set appendonly yes", info.version))
        }
        Ok(info) => Fine(format!("Redis {} with an append-only file, nothing is evicted", info.version)),
    }
}

fn installed_server() -> Finding {
    for program in ["redis-server", "valkey-server"] {
        if let Ok(output) = Command::new(program).arg("--version").output() {
            let text = String::from_utf8_lossy(&output.stdout);
            let version =
                text.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("of unknown version");
            let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
            return if major >= 7 {
                Fine(format!("{program} {version} is installed; `nooble up` runs one of its own"))
            } else {
                Broken(format!("{program} {version} is too old: 7.0 or later is needed"))
            };
        }
    }
    Broken("neither redis-server nor valkey-server is installed: run `make setup`, or set REDIS_URL".to_owned())
}

fn embedding_model(settings: &mut Settings) -> Finding {
    match crate::models::read(settings).embedding {
        models::EmbeddingConfig::MiniLm { dir } => Fine(format!("local embedding model in {}", dir.display())),
        models::EmbeddingConfig::Hashing => {
            Advice("no embedding model: texts are compared by their words only; run `make setup`".to_owned())
        }
        models::EmbeddingConfig::OpenAi { endpoint, .. } => {
            Fine(format!("embedding model {} at {}", endpoint.model, endpoint.base_url))
        }
    }
}

fn writable(data_dir: &Path) -> Finding {
    let probe = data_dir.join(".writable");
    match std::fs::create_dir_all(data_dir).and_then(|()| std::fs::write(&probe, b"")) {
        Ok(()) => {
            let _ = std::fs::remove_file(probe);
            Fine(format!("{} can be written", data_dir.display()))
        }
        Err(error) => Broken(format!("{} cannot be written: {error}", data_dir.display())),
    }
}

/// Starts an empty instance and says how long that took and what it holds in memory.
async fn measured() -> Vec<Finding> {
    let started = Instant::now();
    let scratch = Scratch::start(&[], &[("EMBEDDING_MODEL_DIR", crate::models::NO_MODEL), ("REDIS_URL", "")]).await;
    let scratch = match scratch {
        Ok(scratch) => scratch,
        Err(error) => return vec![Broken(format!("a scratch instance did not start: {error:#}"))],
    };
    let ready = Fine(format!("`nooble up` is ready after {} ms", started.elapsed().as_millis()));
    // Start-up work is over when the first heartbeat and the first health check have run.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = match scratch.id().map(memory::of_family) {
        Some(Ok(kib)) => Fine(format!("idle memory of nooble and its Redis: {} MB (PSS)", kib.div_ceil(1024))),
        Some(Err(error)) => Advice(format!("memory cannot be read here: {error}")),
        None => Advice("the scratch instance ended early".to_owned()),
    };
    let stopped = match scratch.stop().await {
        Ok(()) => Fine("it ended cleanly".to_owned()),
        Err(error) => Broken(format!("it did not end: {error}")),
    };
    vec![ready, memory, stopped]
}
