//! The Redis of a laptop: a server of our own, kept in the data directory and ended with us.
//!
//! The server is held by a guard, a second process of this binary. It reads its standard input, which ends when the parent
//! does, however the parent ended; then it ends the server. A server that dies is started again with growing pauses.

mod guard;
mod server;

pub(crate) use guard::run as guard;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use server::Files;

const PATIENCE: Duration = Duration::from_secs(15);

/// Returns the URL of the server over `data_dir` if one runs.
pub(crate) fn running(data_dir: &Path) -> Option<String> {
    let folder = data_dir.join("redis").canonicalize().ok()?;
    let socket = Files::in_folder(&folder).ok()?.socket;
    server::answers(&socket).then(|| url_of(&socket))
}

fn url_of(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// A managed server. Dropping it lets the guard end the server.
pub(crate) struct Managed {
    guard: Child,
    url: String,
}

impl Managed {
    /// Starts the guard over `data_dir/redis`, and waits until the server answers.
    pub(crate) async fn start(data_dir: &Path) -> Result<Self> {
        let files = Files::in_folder(&data_dir.join("redis"))?;
        let program = server::program()?;
        let mut guard = Command::new(std::env::current_exe().context("find this program")?)
            .arg("redis-guard")
            .arg("--program")
            .arg(program)
            .arg("--folder")
            .arg(&files.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C at the terminal reaches the whole group; the server must outlive our own drain.
            .process_group(0)
            .spawn()
            .context("start the guard of the managed Redis")?;
        let end = Instant::now() + PATIENCE;
        // What answers before the guard has taken over is the server of a predecessor, on its way out.
        while !(files.are_held_by(guard.id()) && server::answers(&files.socket)) {
            if let Some(status) = guard.try_wait()? {
                bail!("the managed Redis did not start ({status}); see {}", files.log.display());
            }
            if Instant::now() > end {
                let _ = guard.kill();
                bail!("the managed Redis did not answer within {} s; see {}", PATIENCE.as_secs(), files.log.display());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { guard, url: url_of(&files.socket) })
    }

    /// Returns the server's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server and waits until it has written everything down.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut input) = self.guard.stdin.take() {
            let _ = input.flush();
        }
        let _ = self.guard.wait();
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.end();
    }
}
