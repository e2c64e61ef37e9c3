//! The Redis that everybody is measured on: started here, emptied between runs, asked what it has used.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

mod watch;

pub use watch::Watch;

/// How the server keeps what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// In memory alone.
    #[default]
    None,
    /// In an append-only file that is synced every second.
    EverySecond,
}

impl Persistence {
    /// Returns the word used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EverySecond => "everysec",
        }
    }
}

/// A server of the benchmark's own. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    program: &'static str,
}

/// What a server has used since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Processor time of the server and its children, in microseconds.
    pub cpu_us: f64,
    /// Commands that it ran, those inside of scripts included.
    pub commands: f64,
    /// Bytes that its data take now.
    pub memory: f64,
}

impl Server {
    /// Starts a server on a loopback port and a unix socket, and waits until it answers.
    pub fn start(persistence: Persistence) -> Result<Self> {
        // A unix socket's path must be short.
        let folder = tempfile::Builder::new().prefix("nbb").tempdir().context("make a folder for Redis")?;
        let program = program()?;
        let port = free_port()?;
        let keeps: &[&str] = match persistence {
            Persistence::None => &["--appendonly", "no"],
            Persistence::EverySecond => &["--appendonly", "yes", "--appendfsync", "everysec"],
        };
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--daemonize", "no"])
            .args(["--maxmemory-policy", "noeviction"])
            .args(keeps)
            .arg("--unixsocket")
            .arg(folder.path().join("redis.sock"))
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let server = Self { child, folder, port, program };
        let end = Instant::now() + Duration::from_secs(20);
        while server.command(&["PING"]).is_err() {
            if Instant::now() > end {
                bail!("{program} did not answer within 20 s");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Returns the URL of the loopback port.
    pub fn tcp_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the URL of the unix socket.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.folder.path().join("redis.sock").display())
    }

    /// Returns name and version of the server.
    pub fn version(&self) -> Result<String> {
        let info = self.command(&["INFO", "server"])?;
        Ok(format!("{} {}", self.program, field(&info, "redis_version").unwrap_or("unknown")))
    }

    /// Empties the server.
    pub fn clear(&self) -> Result<()> {
        self.command(&["FLUSHALL", "SYNC"]).map(drop)
    }

    /// Returns what the server has used until now.
    pub fn used(&self) -> Result<Used> {
        let info = self.command(&["INFO", "everything"])?;
        let number = |name: &str| field(&info, name).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        let seconds = ["used_cpu_user", "used_cpu_sys", "used_cpu_user_children", "used_cpu_sys_children"];
        Ok(Used {
            cpu_us: seconds.iter().map(|name| number(name)).sum::<f64>() * 1e6,
            commands: number("total_commands_processed"),
            memory: number("used_memory"),
        })
    }

    /// Returns how often clients called: scripts and blocking pops, not what happens inside of scripts.
    pub fn calls(&self) -> Result<f64> {
        let info = self.command(&["INFO", "commandstats"])?;
        let called = ["evalsha", "eval", "fcall", "blpop", "brpop", "bzpopmin", "blmove"];
        let of = |name: &str| {
            let line =
                info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls="))?.split(',').next());
            line.and_then(|calls| calls.parse::<f64>().ok()).unwrap_or_default()
        };
        Ok(called.into_iter().map(of).sum())
    }

    /// Begins to look at the commands that the server is sent.
    pub fn watch(&self) -> Result<Watch<'_>> {
        Watch::begin(self, TcpStream::connect(("127.0.0.1", self.port))?)
    }

    /// Returns the length of the longest string that lies under a key with this text in its name; 0 when there is none.
    pub fn longest_string(&self, within: &str) -> Result<u64> {
        let mut longest = 0;
        for key in self.command(&["KEYS", &format!("*{within}*")])?.lines() {
            longest = longest.max(self.command(&["STRLEN", key])?.parse().unwrap_or(0));
        }
        Ok(longest)
    }

    /// Runs one command and returns its answer as plain text, the parts of a list in lines.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(request, "${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(request.as_bytes())?;
        read_reply(&mut BufReader::new(stream))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Result<&'static str> {
    let found = |name: &&str| crate::machine::version_of(name, &["--version"]).is_some();
    ["redis-server", "valkey-server"]
        .into_iter()
        .find(found)
        .context("neither redis-server nor valkey-server is installed: run `make setup`")
}

/// Returns a port of the loopback that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Finds a line `name:value` of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn read_reply(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let Some(kind) = line.chars().next() else { bail!("Redis closed the connection") };
    let rest = &line[kind.len_utf8()..];
    match kind {
        '$' => {
            let Ok(length) = rest.parse::<usize>() else { return Ok(String::new()) };
            let mut body = vec![0; length + 2];
            reader.read_exact(&mut body)?;
            body.truncate(length);
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        '*' => {
            let count = rest.parse::<usize>().unwrap_or(0);
            let parts: Result<Vec<String>> = (0..count).map(|_| read_reply(reader)).collect();
            Ok(parts?.join("\n"))
        }
        '-' => bail!("Redis refused: {rest}"),
        _ => Ok(rest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_plain_text() {
        let read = |text: &str| read_reply(&mut text.as_bytes());
        assert_eq!(read("+PONG\r\n").unwrap(), "PONG");
        assert_eq!(read(":42\r\n").unwrap(), "42");
        assert_eq!(read("$5\r\nhello\r\n").unwrap(), "hello");
        assert_eq!(read("$-1\r\n").unwrap(), "");
        assert_eq!(read("*2\r\n$1\r\na\r\n:7\r\n").unwrap(), "a\n7");
        assert!(read("-ERR no\r\n").unwrap_err().to_string().contains("ERR no"));
        assert!(read("").is_err());
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_sys_children:0.25\r\n";
        assert_eq!(field(info, "used_cpu_sys"), Some("1.5"));
        assert_eq!(field(info, "used_cpu_sys_children"), Some("0.25"));
        assert_eq!(field(info, "used_cpu"), None);
    }
}
