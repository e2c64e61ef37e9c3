//! Chores of the repository: `cargo xtask codegen` writes the generated protobuf code, `cargo xtask tidy` checks the rules
//! that no compiler knows, `cargo xtask mutate` breaks the queue's scripts to see whether the tests notice.

mod codegen;
mod mutate;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

#[expect(clippy::print_stderr, reason = "a chore says what is wrong and ends")]
fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Option<&str>) -> Result<()> {
    match chore {
        Some("codegen") => codegen::write(),
        Some("tidy") => tidy::check(),
        Some("mutate") => mutate::check(),
        _ => bail!("usage: cargo xtask codegen | tidy | mutate"),
    }
}

/// Returns the root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("xtask lies two folders below the root")
}
