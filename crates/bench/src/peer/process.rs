//! One measured process: started, let go, listened to, and ended with this handle.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::machine;
use crate::protocol::{self, End, Line, Ready};
use crate::server::{Server, Used};

/// A process that speaks the protocol.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Where its standard error goes, to be shown when it fails.
    log: std::fs::File,
    end: Instant,
}

/// What was used between `go` and `end`.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Used by Redis.
    pub redis: Used,
    /// Processor time of the process itself, in seconds.
    pub client_seconds: f64,
}

impl Process {
    /// Starts a process, which has to be done within this time.
    pub fn start(mut command: Command, within: Duration) -> Result<Self> {
        let log = tempfile::tempfile().context("make a log")?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines, log, end: Instant::now() + within })
    }

    /// Waits until it is ready.
    pub fn ready(&mut self) -> Result<Ready> {
        match self.line()? {
            Line::Ready(ready) => Ok(ready),
            line => Err(self.failed(&format!("expected ready, got {line:?}"))),
        }
    }

    /// Lets it go and waits for its end; tells what was used in between.
    pub fn measure(&mut self, server: &Server) -> Result<(End, Marks)> {
        self.measure_while(server, "go", |_| Ok(()))
    }

    /// The same with the word to send, and with something to do meanwhile.
    pub fn measure_while(
        &mut self,
        server: &Server,
        go: &str,
        meanwhile: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<(End, Marks)> {
        let (redis, client) = (server.used()?, self.seconds());
        self.send(format!("{go}\n").as_bytes())?;
        meanwhile(self)?;
        let end = match self.line()? {
            Line::End(end) => *end,
            line => return Err(self.failed(&format!("expected the end, got {line:?}"))),
        };
        let after = server.used()?;
        let used = Used {
            cpu_us: after.cpu_us - redis.cpu_us,
            commands: after.commands - redis.commands,
            memory: after.memory - redis.memory,
        };
        Ok((end, Marks { redis: used, client_seconds: self.seconds() - client }))
    }

    /// Writes to its standard input.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().context("standard input is open")?;
        stdin.write_all(bytes).and_then(|()| stdin.flush()).map_err(|error| self.failed(&error.to_string()))
    }

    /// Returns the next line that is not noise.
    fn line(&mut self) -> Result<Line> {
        loop {
            let line = match self.lines.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Err(self.failed("it took too long")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed("it ended early")),
            };
            match protocol::parse(&line) {
                Ok(Line::Noise(_)) => {}
                Ok(line) => return Ok(line),
                Err(error) => return Err(self.failed(&error.to_string())),
            }
        }
    }

    /// Returns a line about a job that has come by now, if one has.
    pub fn job(&mut self, wait: Duration) -> Option<(bool, usize)> {
        loop {
            if let Ok(Line::Job { done, number }) = protocol::parse(&self.lines.recv_timeout(wait).ok()?) {
                return Some((done, number));
            }
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Closes its input and waits until it has ended by itself, or ends it after a moment.
    pub fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                return Err(self.failed(&status.to_string()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        machine::process_seconds(self.child.id()).unwrap_or_default()
    }

    /// Makes an error that shows the end of what the process said on standard error.
    fn failed(&mut self, why: &str) -> anyhow::Error {
        self.kill();
        let mut text = Vec::new();
        let _ = self.log.seek(SeekFrom::Start(0));
        let _ = self.log.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let last: Vec<&str> = text.lines().rev().take(8).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        if last.is_empty() { anyhow!("{why}") } else { anyhow!("{why}; it said: {}", last.join(" | ")) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Fails unless a process did all that it was asked to do.
pub(crate) fn all_done(end: &End, jobs: u64) -> Result<()> {
    if end.jobs < jobs {
        bail!("only {} of {jobs} jobs were done", end.jobs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, seconds: u64) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command, Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn noise_is_skipped_until_the_process_is_ready() {
        let mut process = shell(r#"echo starting; echo '{"phase": "ready", "version": "1"}'; read go"#, 10);
        assert_eq!(process.ready().unwrap().version, "1");
        process.send(b"go\n").unwrap();
        process.finish().unwrap();
    }

    #[test]
    fn what_a_failing_process_said_is_in_the_error() {
        let error = shell("echo no such module >&2; exit 3", 10).ready().unwrap_err().to_string();
        assert!(error.contains("ended early") && error.contains("no such module"), "{error}");
    }

    #[test]
    fn a_process_that_hangs_is_given_up() {
        let error = shell("exec sleep 30", 1).ready().unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
    }

    #[test]
    fn a_broken_line_is_an_error() {
        let error = shell(r#"echo '{"phase": "ready'; read go"#, 10).ready().unwrap_err().to_string();
        assert!(error.contains("not a line of the protocol"), "{error}");
    }
}
