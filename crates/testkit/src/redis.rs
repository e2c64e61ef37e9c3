//! A Redis server of the test's own.

use nix::sys::signal::Signal;

use crate::server::{Server, folder, free_port, installed, program};

/// A `redis-server` (or `valkey-server`) process on a unix socket in a folder of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    // Dropped after the server, which lives in it.
    _folder: tempfile::TempDir,
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
        Self::launch(program(), false, arguments).await
    }

    /// Starts a server with the given arguments that listens on a port of the loopback, too; [`Redis::url`] names that.
    pub async fn start_on_port(arguments: &[&str]) -> Self {
        Self::launch(program(), true, arguments).await
    }

    /// Starts a Valkey with the given arguments, where it is installed.
    pub async fn start_valkey(arguments: &[&str]) -> Option<Self> {
        if installed("valkey-server") { Some(Self::launch("valkey-server", false, arguments).await) } else { None }
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        match self.server.port {
            0 => format!("unix://{}", self.server.socket().display()),
            port => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// Returns the port of a server that was started on one, else 0.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Ends the server at once, as `kill -9` would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts the server again on the same folder, after ending it if it runs.
    ///
    /// # Panics
    ///
    /// Panics when it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.server.launch().await.expect("the server starts again");
    }

    /// Stops the server without ending it; connections stay open and get no answers.
    pub fn pause(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.server.signal(Signal::SIGCONT);
    }

    /// Runs one command and returns its answer as `redis-cli` would print it without formatting.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer.
    pub fn command(&self, words: &[&str]) -> String {
        self.server.command(words).expect("the server answers")
    }

    async fn launch(program: &'static str, on_port: bool, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        for _ in 0..20 {
            let folder = folder();
            let port = if on_port { free_port() } else { 0 };
            let mut server = Server::new(program, folder.path(), port, arguments.clone());
            if server.launch().await.is_ok() {
                return Self { server, _folder: folder };
            }
        }
        panic!("{program} does not start with {arguments:?}");
    }
}
