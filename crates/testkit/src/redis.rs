//! A Redis server of the test's own.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A `redis-server` (or `valkey-server`) process on a unix socket in a folder of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    child: Option<Child>,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server without persistence and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"]).await
    }

    /// Starts a server that keeps an append-only file, synced on every write, so that a restart loses nothing.
    pub async fn start_durable() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// Starts a server with the given arguments.
    pub async fn start_with(arguments: &[&str]) -> Self {
        // A unix socket's path must be short, so the folder lies directly in the system's folder for such things.
        let folder = tempfile::Builder::new().prefix("nbl").tempdir_in("/tmp").expect("a folder for the server");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut redis = Self { child: None, folder, arguments };
        redis.launch().await;
        redis
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Ends the server at once, as `kill -9` would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server again on the same folder, after ending it if it runs.
    pub async fn restart(&mut self) {
        self.kill();
        self.launch().await;
    }

    /// Stops the server without ending it; connections stay open and get no answers.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Runs one command and returns its answer as `redis-cli` would print it without formatting.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer.
    pub fn command(&self, words: &[&str]) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket takes a timeout");
        write!(stream, "*{}\r\n", words.len()).expect("the server reads");
        for word in words {
            write!(stream, "${}\r\n{word}\r\n", word.len()).expect("the server reads");
        }
        read_reply(&mut BufReader::new(stream))
    }

    async fn launch(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let child = Command::new(program())
            .args(["--port", "0", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server or valkey-server is installed: `make test` installs it");
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(20);
        while !self.answers() {
            assert!(Instant::now() < end, "the server did not answer within 20 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut answer = [0; 5];
        stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG"
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
        kill(pid, signal).expect("the server can be signalled");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Finds the server's program: Redis, or Valkey where that is installed instead.
fn program() -> &'static str {
    let found = |name: &str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    if found("redis-server") { "redis-server" } else { "valkey-server" }
}

fn read_reply(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("the server answers");
    let line = line.trim_end();
    let (kind, rest) = line.split_at(1);
    match kind {
        "$" => {
            let Ok(length) = rest.parse::<usize>() else { return String::new() };
            let mut body = vec![0; length + 2];
            reader.read_exact(&mut body).expect("the answer is whole");
            body.truncate(length);
            String::from_utf8_lossy(&body).into_owned()
        }
        "*" => {
            let count = rest.parse::<usize>().unwrap_or(0);
            (0..count).map(|_| read_reply(reader)).collect::<Vec<_>>().join("\n")
        }
        _ => rest.to_owned(),
    }
}
