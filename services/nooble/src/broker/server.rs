//! The server process itself: where its files lie, how it is started, whether it answers.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Longest path that a unix socket may have everywhere, with some room.
const LONGEST_SOCKET_PATH: usize = 90;

/// Where the server's files lie.
pub(super) struct Files {
    /// Folder of the data.
    pub(super) folder: PathBuf,
    /// Socket that it listens on.
    pub(super) socket: PathBuf,
    /// Its log.
    pub(super) log: PathBuf,
    /// Its process id.
    pub(super) pid: PathBuf,
    /// Held by the guard for as long as it lives, with its process id in it.
    pub(super) lock: PathBuf,
}

impl Files {
    /// Makes the folder if need be and names the files in it.
    pub(super) fn in_folder(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self {
            socket: socket_of(&folder)?,
            log: folder.join("redis.log"),
            pid: folder.join("redis.pid"),
            lock: folder.join("guard.lock"),
            folder,
        })
    }

    /// Tells whether the guard with this process id has taken over.
    pub(super) fn are_held_by(&self, guard: u32) -> bool {
        fs::read_to_string(&self.lock).is_ok_and(|holder| holder == guard.to_string())
    }
}

/// A data directory may lie deep, and a socket's path must be short: then the socket lies in a private folder elsewhere.
fn socket_of(folder: &Path) -> Result<PathBuf> {
    let beside = folder.join("redis.sock");
    if beside.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return Ok(beside);
    }
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let private = std::env::temp_dir().join(format!("nooble-{:016x}", hasher.finish()));
    fs::create_dir_all(&private)?;
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700))?;
    Ok(private.join("redis.sock"))
}

/// Finds the server's program: Redis, or Valkey where that is installed instead.
pub(super) fn program() -> Result<&'static str> {
    let found = |name: &&&str| {
        Command::new(**name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    ["redis-server", "valkey-server"]
        .iter()
        .find(found)
        .copied()
        .context("neither redis-server nor valkey-server is installed: run `make setup`, or set REDIS_URL")
}

/// Starts the server in the foreground of its guard.
pub(super) fn spawn(program: &str, files: &Files) -> Result<Child> {
    let _ = fs::remove_file(&files.socket);
    Command::new(program)
        .args(["--port", "0", "--unixsocketperm", "700", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--daemonize", "no"])
        .arg("--unixsocket")
        .arg(&files.socket)
        .arg("--dir")
        .arg(&files.folder)
        .arg("--pidfile")
        .arg(&files.pid)
        .arg("--logfile")
        .arg(&files.log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("start {program}"))
}

/// Tells whether a server answers on the socket, be it only that it is still loading.
pub(super) fn answers(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG"
}
