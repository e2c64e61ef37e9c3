//! A server process of Redis' kind.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Patience with a server that starts on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A process that listens on a socket in a folder of its own, by which it is looked after, and perhaps on a port. It ends when
/// this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    program: &'static str,
    child: Option<Child>,
    folder: PathBuf,
    pub(crate) port: u16,
    arguments: Vec<String>,
}

/// The process ended instead of starting: most likely, somebody else took its port.
#[derive(Debug)]
pub(crate) struct Ended;

impl Server {
    /// Describes a server; port 0 is none. What precedes the options of Redis in `arguments` comes first.
    pub(crate) fn new(program: &'static str, folder: &Path, port: u16, arguments: Vec<String>) -> Self {
        Self { program, child: None, folder: folder.to_owned(), port, arguments }
    }

    /// Starts the process, and waits until it answers.
    pub(crate) async fn launch(&mut self) -> Result<(), Ended> {
        let _ = std::fs::remove_file(self.socket());
        let child = Command::new(self.program)
            .args(&self.arguments)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server or valkey-server is installed: `make test` installs it");
        self.child = Some(child);
        let end = Instant::now() + PATIENCE;
        while !self.answers() {
            if self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                self.child = None;
                return Err(Ended);
            }
            assert!(Instant::now() < end, "the server did not answer within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Ends the process at once, as `kill -9` would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
        kill(pid, signal).expect("the server can be signalled");
    }

    /// Runs one command and returns its answer as `redis-cli` would print it without formatting.
    pub(crate) fn command(&self, words: &[&str]) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "*{}\r\n", words.len())?;
        for word in words {
            write!(stream, "${}\r\n{word}\r\n", word.len())?;
        }
        read_reply(&mut BufReader::new(stream))
    }

    /// Returns a field of what the server says about itself, or nothing if it does not answer.
    pub(crate) fn field(&self, words: &[&str], name: &str) -> String {
        let text = self.command(words).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_default().trim().to_owned()
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut answer = [0; 5];
        stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG"
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Finds the server's program: Redis, or Valkey where that is installed instead.
pub(crate) fn program() -> &'static str {
    if installed("redis-server") { "redis-server" } else { "valkey-server" }
}

pub(crate) fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// Makes a folder. A socket's path must be short, so it lies directly in the system's folder for such things.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("nbl").tempdir_in("/tmp").expect("a folder for the server")
}

/// Returns a port that nobody listens on, below those that the system gives to whoever asks for any. Another test may come
/// first all the same; then the server ends and is started on another one.
pub(crate) fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = || 10_000 + u16::try_from(random() % 20_000).expect("it is small");
    std::iter::repeat_with(port).find(free).expect("the loopback has a free port")
}

/// A number that no other process has; the standard library seeds its hashes at random.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn read_reply(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    match kind {
        "$" => {
            let Ok(length) = rest.parse::<usize>() else { return Ok(String::new()) };
            let mut body = vec![0; length + 2];
            reader.read_exact(&mut body)?;
            body.truncate(length);
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        "*" => {
            let count = rest.parse::<usize>().unwrap_or(0);
            let parts = (0..count).map(|_| read_reply(reader)).collect::<io::Result<Vec<_>>>()?;
            Ok(parts.join("\n"))
        }
        _ => Ok(rest.to_owned()),
    }
}
