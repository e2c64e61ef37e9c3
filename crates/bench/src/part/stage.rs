//! The process' end of the protocol: what it prints, and what it waits for.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Standard input as the runtime reads it, without a thread in between.
pub(super) struct Stage {
    input: Receiver,
}

impl Stage {
    /// Takes over standard input.
    pub(super) fn open() -> Result<Self> {
        let pipe = std::fs::File::open("/dev/stdin").context("open standard input")?;
        Ok(Self { input: Receiver::from_file(pipe).context("standard input must be a pipe")? })
    }

    /// Says that everything is prepared, and waits for the line that begins with `go`; returns the rest of it.
    pub(super) async fn ready(&mut self, settings: &str) -> Result<String> {
        print(&json!({ "phase": "ready", "settings": settings, "version": env!("CARGO_PKG_VERSION") }))?;
        let mut line = Vec::new();
        loop {
            let byte = self.input.read_u8().await.context("the harness is gone")?;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        Ok(line.strip_prefix("go").context("expected go")?.trim().to_owned())
    }

    /// Waits for bytes that release jobs; none when the harness has closed the pipe.
    pub(super) async fn bytes(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.input.read(buffer).await?)
    }
}

/// Says that the work is done.
pub(super) fn end(jobs: usize, seconds: f64, more: &Value) -> Result<()> {
    let mut line = json!({ "phase": "end", "jobs": jobs, "seconds": seconds });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    print(&line)
}

/// Prints one line at once.
pub(super) fn print(line: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
