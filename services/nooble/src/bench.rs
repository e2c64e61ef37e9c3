//! `nooble bench`: measures a running product through its own edge, the queues against other queues, or the edge
//! against bare axum and tonic.

mod chat;

use anyhow::Result;

/// Measures the product.
#[derive(clap::Args, Debug)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// One chat after the other: from POST to the final frame, and where the time goes.
    Chat(chat::Chat),
    /// Our queues and others on the same work in the same run, on a Redis of its own.
    Queue(Box<::bench::cli::Queue>),
    /// The gateway beside bare axum and tonic in the same run, and its promises under load.
    Edge(::bench::edge::Edge),
}

impl Bench {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::Chat(chat) => chat.run().await,
            Command::Queue(queue) => queue.run().await,
            Command::Edge(edge) => edge.run().await,
        }
    }
}
