//! A process that serves while it is measured: the product's own, or one of ours beside it.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Child as OsChild, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::machine;

/// Time to become ready.
const START: Duration = Duration::from_secs(30);
/// Time to end after SIGTERM.
const END: Duration = Duration::from_secs(10);

/// One process. It says `ready {…}` on its standard output once it serves, and ends with this handle.
#[derive(Debug)]
pub(crate) struct Child {
    process: OsChild,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: std::fs::File,
    /// What it said when it was ready: its addresses, by name.
    ready: Value,
}

/// What a process has used since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Processor time, user and kernel together, in microseconds.
    pub(crate) cpu_us: f64,
    /// Resident memory, in bytes.
    pub(crate) memory: f64,
}

/// Tells what a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter(u32);

impl Meter {
    /// Returns what it has used until now.
    pub(crate) fn used(self) -> Result<Used> {
        let used =
            |bytes| machine::process_seconds(self.0).map(|seconds| Used { cpu_us: seconds * 1e6, memory: bytes });
        machine::process_memory(self.0).and_then(used).context("a process that is measured is gone")
    }
}

impl Child {
    /// Starts a process and waits until it is ready.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let name = command.get_args().map(|argument| argument.to_string_lossy()).take(2).collect::<Vec<_>>().join(" ");
        let log = tempfile::tempfile().context("make a log")?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stdout = process.stdout.take().context("standard output is a pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = process.stdin.take();
        let mut child = Self { process, stdin, lines, log, ready: Value::Null };
        let ready = child.line("ready ", START).with_context(|| format!("start {name}"))?;
        child.ready = serde_json::from_str(&ready).context("read what a process said when it was ready")?;
        Ok(child)
    }

    /// Returns one of its addresses, `host:port`.
    pub(crate) fn address(&self, name: &str) -> Result<String> {
        let address = self.ready[name].as_str().filter(|address| !address.is_empty());
        address.map(str::to_owned).with_context(|| format!("no address {name}"))
    }

    /// Tells it something, one line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("standard input is open")?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).context("tell a process")
    }

    /// Waits for the line that begins so, and returns the rest of it.
    pub(crate) fn line(&mut self, beginning: &str, patience: Duration) -> Result<String> {
        let end = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return Ok(rest.to_owned());
                    }
                }
                Err(_) => bail!("waited for `{beginning}`; {}", self.said()),
            }
        }
    }

    /// Returns what tells what it has used.
    pub(crate) fn meter(&self) -> Meter {
        Meter(self.process.id())
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Lets it end by itself.
    pub(crate) fn stop(mut self) {
        drop(self.stdin.take());
        let id = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(id, nix::sys::signal::SIGTERM);
        let end = Instant::now() + END;
        while Instant::now() < end {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the end of what it said on standard error.
    fn said(&mut self) -> String {
        let mut text = Vec::new();
        let _ = self.log.seek(SeekFrom::Start(0));
        let _ = self.log.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let last: Vec<&str> = text.lines().rev().take(8).collect();
        last.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
