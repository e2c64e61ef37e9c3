//! One process of the product: reads every setting, binds every address, and only then starts anything.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use serde_json::json;
use service_kit::{Host, HostConfig, Kit, KitConfig, Part, PeersConfig, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::broker::Managed;
use crate::roles::{Configs, Role};
use crate::settings::{self, Process};

/// What comes after the grace: telemetry is sent, and a Redis of our own writes everything down.
const AFTER_GRACE: Duration = Duration::from_secs(6);
/// Exit code of a process that did not end by itself in time.
const EXIT_STUCK: i32 = 70;
/// Parts of the grace that the edge has at most, before and after it takes no more connections.
const EDGE_DELAY_SHARE: f32 = 0.25;
const EDGE_SHARE: f32 = 0.6;

/// Addresses of a process; those that are absent come from the settings.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Addresses {
    /// `host:port` of the HTTP edge [setting HTTP_ADDRESS, default 127.0.0.1:8008].
    #[arg(long)]
    http: Option<SocketAddr>,
    /// `host:port` of gRPC [setting GRPC_ADDRESS, default 127.0.0.1:50051].
    #[arg(long)]
    grpc: Option<SocketAddr>,
    /// `host:port` of probes and metrics [setting ADMIN_ADDRESS, default 127.0.0.1:9464].
    #[arg(long)]
    admin: Option<SocketAddr>,
}

/// What a process shall be.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Services to run.
    pub(crate) roles: Vec<Role>,
    /// Which half of them.
    pub(crate) part: Part,
    /// Services whose workers run elsewhere.
    pub(crate) without_worker: Vec<Role>,
    /// Where to listen.
    pub(crate) addresses: Addresses,
    /// Where databases, objects and keys lie.
    pub(crate) data_dir: PathBuf,
    /// Settings file, below the environment.
    pub(crate) config: Option<PathBuf>,
    /// Whether this process is the whole product: it may run a Redis and make a key of its own.
    pub(crate) whole: bool,
}

/// Where a process listens.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    /// The HTTP edge, where it runs.
    pub(crate) http: Option<SocketAddr>,
    /// The gRPC port.
    pub(crate) grpc: SocketAddr,
    /// The admin port.
    pub(crate) admin: Option<SocketAddr>,
}

/// Everything that was read and bound; nothing runs yet.
struct Prepared {
    process: Process,
    kit: KitConfig,
    configs: Configs,
    gateway: Option<(gateway::Config, TcpListener)>,
    grace: Duration,
    host: Host,
    listening: Listening,
}

/// Runs a process until it is told to end. `on_start` is called once everything answers, and before it is called ready.
pub(crate) async fn run<F>(plan: Plan, on_start: impl FnOnce(Kit, Listening) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let without_worker = plan.without_worker.clone();
    let (whole, prepared) = (plan.whole, prepare(plan).await?);
    let guard = prepared.process.telemetry()?;
    let mut kit_config = prepared.kit;
    let managed = match &kit_config.redis_url {
        None if whole => Some(Managed::start(&kit_config.data_dir).await?),
        _ => None,
    };
    if let Some(managed) = &managed {
        kit_config.redis_url = Some(managed.url().to_owned());
    }
    let kit = Kit::start(kit_config).await?;
    // Probes see the process ready when its start-up work is done, e.g. when the demo's index is there.
    kit.health.hold();
    let mut host = prepared.host;
    for (role, service) in prepared.configs.services(&kit).await? {
        let works = !without_worker.contains(&role);
        host = host.serve(if works { service } else { service.without_workers() });
    }
    let listening = prepared.listening;
    let ended =
        serve(&kit, host, prepared.grace, prepared.gateway, on_start(kit.clone(), listening.clone()), listening).await;
    drop(kit);
    if let Some(managed) = managed {
        managed.stop();
    }
    guard.shutdown();
    ended
}

/// Runs the edge, the host, the signals and the start-up work side by side; the edge ends before the façades.
async fn serve(
    kit: &Kit,
    host: Host,
    grace: Duration,
    gateway: Option<(gateway::Config, TcpListener)>,
    on_start: impl Future<Output = Result<()>>,
    listening: Listening,
) -> Result<()> {
    let (stop, edge_ended) = (CancellationToken::new(), CancellationToken::new());
    let signals = async {
        let ended = tokio::select! { ended = terminated(grace) => ended, () = stop.cancelled() => Ok(()) };
        stop.cancel();
        ended
    };
    let hosting = async {
        // The façades outlive the edge, whose last requests call them; everything else begins to end with the signal.
        let ended = host.behind(edge_ended.clone().cancelled_owned()).until(kit, stop.cancelled()).await;
        stop.cancel();
        ended.map_err(anyhow::Error::from)
    };
    let edge = async {
        let ended = match gateway {
            Some((config, listener)) => {
                gateway::serve(config, listener, kit, stop.clone().cancelled_owned()).await.map_err(anyhow::Error::from)
            }
            None => stop.cancelled().map(Ok).await,
        };
        stop.cancel();
        edge_ended.cancel();
        ended
    };
    let starting = async {
        let ready = async {
            while !kit.health.started() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            on_start.await?;
            kit.health.release().await;
            say_ready(&listening)
        };
        let ended = tokio::select! { ended = ready => ended, () = stop.cancelled() => Ok(()) };
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let (signalled, hosted, edged, started) = tokio::join!(signals, hosting, edge, starting);
    signalled.and(started).and(edged).and(hosted)
}

/// Waits for Ctrl-C or SIGTERM.
async fn terminated(grace: Duration) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    tracing::info!("shutting down");
    watch_the_end(grace);
    Ok(())
}

/// Ends the process when it has not ended by itself in time: a thread that computes, or a disk that hangs, waits for nobody.
#[expect(clippy::print_stderr, reason = "the log may be what hangs")]
fn watch_the_end(grace: Duration) {
    let watching = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        std::thread::sleep(grace + AFTER_GRACE);
        eprintln!("nooble: did not end within its grace");
        std::process::exit(EXIT_STUCK);
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "nobody watches that the process ends in time");
    }
}

/// Tells whoever started the process that everything answers, and where.
fn say_ready(listening: &Listening) -> Result<()> {
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let ready = json!({
        "http": text(listening.http), "grpc": listening.grpc.to_string(), "admin": text(listening.admin),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {ready}")?;
    Ok(out.flush()?)
}

// === reading and binding ===

/// Reads and binds everything, and fails with all mistakes at once.
async fn prepare(plan: Plan) -> Result<Prepared> {
    let mut settings = Settings::from_process(plan.config.as_deref());
    let process = Process::read(&mut settings);
    let mut kit = KitConfig::read(&mut settings, "nooble");
    kit.data_dir = settings::data_dir(&mut settings, &plan.data_dir);
    kit.redis_url = process.redis_url.clone();
    let mut host = HostConfig::read(&mut settings);
    host.part = plan.part;
    host.grpc = plan.addresses.grpc.unwrap_or(host.grpc);
    host.admin = plan.addresses.admin.or(host.admin);
    let http = plan.addresses.http.unwrap_or(process.http);
    let configs = Configs::read(&mut settings, &plan.roles);
    let with_edge = plan.roles.contains(&Role::Gateway) && plan.part.serves();
    let grace = host.grace;
    let gateway = within(gateway::Config::read(&mut settings), grace);
    let gateway = Some(gateway).filter(|_| with_edge);
    secrets(&mut settings, &mut kit, plan.whole);
    let host = Host::bind(host).await.map_err(|error| settings.reject("addresses", error.to_string())).ok();
    let listener = match &gateway {
        Some(_) => listen(&mut settings, http).await,
        None => None,
    };
    settings.finish()?;
    let host = host.context("a host that did not bind was reported")?;
    let listening = Listening {
        http: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
        grpc: host.grpc_address(),
        admin: host.admin_address(),
    };
    if plan.whole {
        kit.peers = PeersConfig::all_at(listening.grpc);
    }
    Ok(Prepared { process, kit, configs, gateway: gateway.zip(listener), grace, host, listening })
}

/// Keeps the times of the edge within the grace of the process.
fn within(edge: gateway::Config, grace: Duration) -> gateway::Config {
    let drain_delay = edge.drain_delay.min(grace.mul_f32(EDGE_DELAY_SHARE));
    let drain_grace = edge.drain_grace.min(grace.mul_f32(EDGE_SHARE).saturating_sub(drain_delay));
    gateway::Config { drain_delay, drain_grace, ..edge }
}

async fn listen(settings: &mut Settings, address: SocketAddr) -> Option<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| settings.reject("HTTP_ADDRESS", format!("cannot listen on {address}: {error}"))).ok()
}

/// A whole product makes its own key; a part of one must be told the key and the Redis of the others.
fn secrets(settings: &mut Settings, kit: &mut KitConfig, whole: bool) {
    if kit.identity_key.is_none() && whole {
        match service_kit::identity::key_file(&Path::join(&kit.data_dir, "identity.key")) {
            Ok(key) => kit.identity_key = Some(key),
            Err(error) => settings.reject("--data-dir", format!("identity.key cannot be kept: {error}")),
        }
    }
    if !whole && kit.identity_key.is_none() {
        settings.reject("IDENTITY_KEY_FILE", "required: one key for all processes of the mesh, 32 characters or more");
    }
    if !whole && kit.redis_url.is_none() {
        settings.reject("REDIS_URL", "required: the Redis of all processes of the mesh");
    }
}
