#![doc = include_str!("../README.md")]

mod admin;
mod bench;
mod broker;
mod chat;
mod client;
mod contract_json;
mod demo;
mod dlq;
mod doctor;
mod limits;
mod mesh;
mod models;
mod pages;
mod queue;
mod roles;
mod run;
mod serve;
mod settings;
mod span;
mod task;
mod token;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The backend of a multi-tenant AI-agent product.
#[derive(Debug, Parser)]
#[command(name = "nooble", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process, with a Redis of its own unless REDIS_URL is set.
    Up(up::Up),
    /// Run some services, so that they can be spread over processes and machines.
    Serve(serve::Serve),
    /// Ask a demo agent a question, over REST and WebSocket.
    Chat(chat::Chat),
    /// Show, watch or cancel a task.
    Task(task::Task),
    /// Show how a tenant's limits stand; consumes nothing.
    Limits(limits::Limits),
    /// Show and operate the queues.
    Queue(queue::Queue),
    /// Show, replay or delete dead letters.
    Dlq(dlq::Dlq),
    /// Make tenants, keys, agents and collections.
    #[command(flatten)]
    Admin(admin::Admin),
    /// Make or check tokens (JWT).
    #[command(subcommand)]
    Token(token::Token),
    /// Show how to use a running demo.
    Demo(demo::Show),
    /// Check an installation and say what to do about it.
    Doctor(doctor::Doctor),
    /// Measure the product.
    Bench(bench::Bench),
    /// Keep the managed Redis while the parent lives; started by `up`.
    #[command(hide = true)]
    RedisGuard {
        /// Program of the server.
        #[arg(long)]
        program: String,
        /// Folder of its data.
        #[arg(long)]
        folder: PathBuf,
    },
    /// Do one part of a benchmark; started by `bench queue` and `bench edge`.
    #[command(hide = true)]
    BenchPart {
        /// What to do.
        scenario: String,
        /// Its numbers, as JSON.
        numbers: String,
    },
    /// Read one document and end; started by ingestion.
    #[command(hide = true)]
    ReadDocument {
        /// What ingestion tells it.
        arguments: Vec<String>,
    },
}

impl Command {
    /// Tells whether the process waits for requests, and goes through no vectors, which are read faster in huge pages.
    fn serves_requests(&self) -> bool {
        match self {
            Self::Serve(serve) => ![roles::Role::Embedding, roles::Role::Query].iter().any(|role| serve.runs(*role)),
            Self::BenchPart { .. } => true,
            _ => false,
        }
    }
}

/// A request makes hundreds of small allocations that another thread frees; glibc's takes a quarter of the gateway's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is wrong, and nothing was started.
const EXIT_CONFIGURATION: u8 = 2;

#[expect(clippy::print_stderr, reason = "a command says on standard error why it failed")]
fn main() -> ExitCode {
    // One TLS backend for every client of the process; only the first call counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nooble: {error:#}");
            let wrong = error.downcast_ref::<settings::Invalid>().is_some();
            ExitCode::from(if wrong { EXIT_CONFIGURATION } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let command = match command {
        Command::RedisGuard { program, folder } => return broker::guard(&program, &folder),
        Command::ReadDocument { arguments } => return Ok(ingestion::read_document(&arguments)?),
        command => command,
    };
    if command.serves_requests() {
        pages::keep_small();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            // The futures of whole products are large; they live on the heap.
            Command::Up(up) => Box::pin(up.run()).await,
            Command::Serve(serve) => Box::pin(serve.run()).await,
            Command::Chat(chat) => chat.run().await,
            Command::Task(task) => task.run().await,
            Command::Limits(limits) => limits.run().await,
            Command::Queue(queue) => Box::pin(queue.run()).await,
            Command::Dlq(dlq) => dlq.run().await,
            Command::Admin(admin) => admin.run().await,
            Command::Token(token) => token.run().await,
            Command::Demo(show) => show.run(),
            Command::Doctor(doctor) => doctor.run().await,
            Command::Bench(bench) => bench.run().await,
            Command::BenchPart { scenario, numbers } => ::bench::part::run(&scenario, &numbers).await,
            Command::RedisGuard { .. } | Command::ReadDocument { .. } => {
                unreachable!("handled before the runtime was made")
            }
        }
    })
}
