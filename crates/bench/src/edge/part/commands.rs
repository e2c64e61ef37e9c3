//! The lines on standard input.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;

/// What a process is told, line by line.
pub(super) struct Commands(Lines<BufReader<Receiver>>);

impl Commands {
    /// Listens.
    pub(super) fn open() -> Result<Self> {
        let pipe = std::fs::File::open("/dev/stdin").context("open standard input")?;
        let pipe = Receiver::from_file(pipe).context("standard input must be a pipe")?;
        Ok(Self(BufReader::new(pipe).lines()))
    }

    /// Returns the next command and what stands behind it; none when the harness is gone.
    pub(super) async fn next(&mut self) -> Result<Option<(String, String)>> {
        let Some(line) = self.0.next_line().await? else { return Ok(None) };
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        Ok(Some((word.to_owned(), rest.to_owned())))
    }
}
