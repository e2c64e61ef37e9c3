//! The queue benchmark without the rest of the product: `queue-bench` takes what `nooble bench queue` takes.

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The queue benchmark.
#[derive(Debug, Parser)]
#[command(name = "queue-bench", version)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    queue: bench::cli::Queue,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Do one scenario of ours; started by the benchmark.
    #[command(hide = true)]
    BenchPart {
        /// What to do.
        scenario: String,
        /// Its numbers, as JSON.
        numbers: String,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::BenchPart { scenario, numbers }) => bench::part::run(&scenario, &numbers).await,
        None => arguments.queue.run().await,
    }
}
