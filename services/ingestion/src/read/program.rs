//! The program that reads PDFs, run as a process of its own for each: whatever a document does to it ends with it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::answer::{self, Asked, LONGEST_TEXT};
use super::{TOO_MUCH_TEXT, TOO_MUCH_WORK};
use crate::Error;

/// How much the reading of one document may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory that the process may address, in bytes.
    pub memory: u64,
    /// Time of the processor, rounded up to seconds.
    pub cpu: Duration,
    /// Time on the clock.
    pub clock: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, cpu: Duration::from_secs(30), clock: Duration::from_mins(1) }
    }
}

/// A program that calls [`read_document`](crate::read_document) with the arguments after its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderProgram {
    /// The program.
    pub program: PathBuf,
    /// Its own arguments.
    pub arguments: Vec<OsString>,
    /// What each of its processes may take.
    pub limits: Limits,
}

impl ReaderProgram {
    /// Takes a program and its own arguments, with the usual limits.
    pub fn new(program: PathBuf, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program, arguments: arguments.into_iter().map(Into::into).collect(), limits: Limits::default() }
    }

    /// Reads a document in a process of its own, which ends with the answer, at a limit, or when nobody waits any more.
    pub(super) async fn read(&self, asked: Asked, path: &Path) -> Result<String, Error> {
        let document = File::open(path).await?.into_std().await;
        let mut process = self.start(asked, document)?;
        let Ok(answer) = tokio::time::timeout(self.limits.clock, answer(&mut process)).await else {
            process.kill().await?;
            return Err(Error::Unreadable(TOO_MUCH_WORK));
        };
        answer?.map_or(Err(Error::Unreadable(TOO_MUCH_WORK)), answer::decode)
    }

    fn start(&self, asked: Asked, document: std::fs::File) -> Result<Child, Error> {
        let Limits { memory, cpu, .. } = &self.limits;
        let seconds = cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(asked.as_str()).args([memory.to_string(), seconds.to_string()]);
        // Every thread and every arena of the allocator reserves addresses, and those are what is bounded.
        command.env_clear().envs([
            ("RAYON_NUM_THREADS", "1"),
            ("MALLOC_ARENA_MAX", "1"),
            ("MIMALLOC_ARENA_RESERVE", "0"),
        ]);
        command.stdin(document).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        // A program that is missing is not a document that is missing.
        command.spawn().map_err(|error| Error::Io(std::io::Error::other(error)))
    }
}

/// Waits for the answer; a process that did not end well has none.
async fn answer(process: &mut Child) -> Result<Option<Vec<u8>>, Error> {
    let output = process.stdout.take().expect("the output of the process is a pipe");
    let longest = LONGEST_TEXT + 1;
    let mut answer = Vec::new();
    output.take(longest as u64 + 1).read_to_end(&mut answer).await?;
    if answer.len() > longest {
        process.kill().await?;
        return Err(Error::Unreadable(TOO_MUCH_TEXT));
    }
    Ok(process.wait().await?.success().then_some(answer))
}
