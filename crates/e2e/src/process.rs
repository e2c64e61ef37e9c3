//! One process of `nooble`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(90);

/// Settings that say where the services of a mesh are.
const PEERS: [&str; 7] = [
    "ORCHESTRATOR_URL",
    "EXECUTION_URL",
    "AGENT_MANAGEMENT_URL",
    "CONVERSATION_URL",
    "EMBEDDING_URL",
    "QUERY_URL",
    "INGESTION_URL",
];

/// Where a process listens.
#[derive(Clone, Debug)]
pub struct Ready {
    /// `host:port` of the HTTP edge; empty when the process has none.
    pub http: String,
    /// `host:port` of the gRPC port.
    pub grpc: String,
    /// `host:port` of the admin port.
    pub admin: String,
}

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Nooble {
    child: Child,
    said: Arc<Mutex<String>>,
    /// Where it listens.
    pub ready: Ready,
}

impl Nooble {
    /// Returns where the binary lies: beside the folder of the running test.
    ///
    /// # Panics
    ///
    /// Panics when it was not built.
    pub fn binary() -> PathBuf {
        let test = std::env::current_exe().expect("the test knows where it lies");
        let folder = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
        let binary = folder.join("nooble");
        assert!(binary.exists(), "{} is missing: `cargo build --workspace --bins` comes first", binary.display());
        binary
    }

    /// Prepares a command of the binary with nothing of the surroundings' settings.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(Self::binary());
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Starts `nooble up` on a folder, with every port its own.
    pub async fn up(data_dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let data_dir = data_dir.to_str().expect("a folder of the test has a plain name");
        let mut all = vec!["up", "--data-dir", data_dir];
        all.extend(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        all.extend(arguments);
        Self::start(&all, settings).await
    }

    /// Starts services as a process of their own in the mesh of this one, which runs on `data_dir`: a list of roles, and what
    /// else `nooble serve` takes. The settings must name the mesh's Redis.
    ///
    /// # Panics
    ///
    /// Panics when it does not get ready.
    pub async fn beside(&self, data_dir: &Path, roles: &[&str], settings: &[(&str, &str)]) -> Self {
        let peer = format!("http://{}", self.ready.grpc);
        let key = data_dir.join("identity.key").to_string_lossy().into_owned();
        let own = data_dir.join(uuid::Uuid::now_v7().to_string()).to_string_lossy().into_owned();
        let mut all = settings.to_vec();
        all.extend(PEERS.map(|name| (name, peer.as_str())));
        all.push(("IDENTITY_KEY_FILE", &key));
        let place = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", &own];
        Self::start(&[&["serve"], roles, &place[..]].concat(), &all).await
    }

    /// Starts the binary and waits until it says that it is ready.
    ///
    /// # Panics
    ///
    /// Panics when it ends, or is not ready in time, with what it said.
    pub async fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Self::command(arguments);
        command.envs(settings.iter().copied());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let said = Arc::new(Mutex::new(String::new()));
        let errors = beside(tail(child.stderr.take().expect("standard error is a pipe"), Arc::clone(&said)));
        let mut lines = BufReader::new(stdout).lines();
        let waiting = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(ready) = line.strip_prefix("ready ") {
                    return serde_json::from_str::<Value>(ready).ok();
                }
            }
            None
        };
        let ready = tokio::time::timeout(PATIENCE, waiting).await.ok().flatten();
        let Some(ready) = ready else {
            let _ = child.kill().await;
            panic!("nooble {arguments:?} did not get ready; it said:\n{}", errors.await.unwrap_or_default());
        };
        // What it says later must be read, or it would stop when the pipe is full.
        let listening = Arc::clone(&said);
        beside(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                note(&listening, &line);
            }
        });
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Self { child, said, ready: Ready { http: text("http"), grpc: text("grpc"), admin: text("admin") } }
    }

    /// Returns everything that the process has said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process at once, as `kill -9` does.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Asks the process to end, and returns its exit code.
    ///
    /// # Panics
    ///
    /// Panics when it has not ended after `patience`.
    pub async fn stop(mut self, patience: Duration) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        let status = tokio::time::timeout(patience, self.child.wait()).await.expect("nooble ends within its grace");
        status.expect("a child can be waited for").code()
    }

    /// Sends the process a signal.
    ///
    /// # Panics
    ///
    /// Panics when it has ended.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the process runs");
        kill(Pid::from_raw(id.cast_signed()), signal).expect("a process of the test can be signalled");
    }
}

#[expect(clippy::disallowed_methods, reason = "pipes are read beside the test and end with their process")]
fn beside<F: Future<Output: Send + 'static> + Send + 'static>(work: F) -> tokio::task::JoinHandle<F::Output> {
    tokio::spawn(work)
}

/// Reads to the end and keeps the last lines. `NOOBLE_E2E_LOG=1` shows all of them.
async fn tail(source: impl AsyncRead + Unpin, said: Arc<Mutex<String>>) -> String {
    let mut kept = std::collections::VecDeque::new();
    let mut lines = BufReader::new(source).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if std::env::var_os("NOOBLE_E2E_LOG").is_some() {
            show(&line);
        }
        note(&said, &line);
        kept.push_back(line);
        if kept.len() > 40 {
            kept.pop_front();
        }
    }
    kept.into_iter().collect::<Vec<_>>().join("\n")
}

fn note(said: &Mutex<String>, line: &str) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.push_str(line);
    said.push('\n');
}

#[expect(clippy::print_stderr, reason = "asked for by whoever runs the test")]
fn show(line: &str) {
    eprintln!("{line}");
}
