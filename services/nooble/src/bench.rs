//! `nooble bench`: measures a running product through its own edge, and prints figures; it judges nothing.

mod chat;

use anyhow::Result;

/// Measures a running product.
#[derive(clap::Args, Debug)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// One chat after the other: from POST to the final frame, and where the time goes.
    Chat(chat::Chat),
}

impl Bench {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::Chat(chat) => chat.run().await,
        }
    }
}
