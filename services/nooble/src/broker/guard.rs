//! The guard: keeps the server running while the parent lives, and ends it when the parent is gone.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::server::{self, Files};

const LOOK: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A predecessor's guard may still be ending its server.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// Guards a server over `folder` until standard input ends.
pub(crate) fn run(program: &str, folder: &Path) -> Result<()> {
    let files = Files::in_folder(folder)?;
    let lock = take_over(&files)?;
    let orphaned = watch_parent();
    let mut pause = Duration::from_millis(50);
    while !orphaned.load(Ordering::Acquire) {
        let started = Instant::now();
        let mut server = Server::adopt(&files).map_or_else(|| Server::start(program, &files), Ok)?;
        while server.runs(&files) && !orphaned.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        if orphaned.load(Ordering::Acquire) {
            server.end();
            break;
        }
        // A server that ran for a while and died is started at once; one that dies at every start is given time.
        pause =
            if started.elapsed() > LONGEST_PAUSE { Duration::from_millis(50) } else { (pause * 2).min(LONGEST_PAUSE) };
        thread::sleep(pause);
    }
    drop(lock);
    Ok(())
}

/// Takes the folder's lock and writes into it who holds it; waits for the guard of a predecessor that is on its way out.
fn take_over(files: &Files) -> Result<File> {
    let opened = File::options().write(true).create(true).truncate(false).open(&files.lock);
    let mut lock = opened.with_context(|| format!("write {}", files.lock.display()))?;
    let end = Instant::now() + PREDECESSOR;
    while lock.try_lock().is_err() {
        if Instant::now() > end {
            bail!("{} is in use by another `nooble up`", files.folder.display());
        }
        thread::sleep(LOOK);
    }
    lock.set_len(0)?;
    write!(lock, "{}", std::process::id())?;
    Ok(lock)
}

/// Returns a flag that is raised when standard input ends, which it does when the parent is gone.
fn watch_parent() -> Arc<AtomicBool> {
    let orphaned = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&orphaned);
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
        flag.store(true, Ordering::Release);
    });
    orphaned
}

/// A server that was started here, or one that outlived its guard.
enum Server {
    Child(Child),
    Adopted(Pid),
}

impl Server {
    fn start(program: &str, files: &Files) -> Result<Self> {
        server::spawn(program, files).map(Self::Child)
    }

    /// Finds a live server on the folder whose guard was killed.
    fn adopt(files: &Files) -> Option<Self> {
        if !server::answers(&files.socket) {
            return None;
        }
        let pid = fs::read_to_string(&files.pid).ok()?.trim().parse().ok()?;
        Some(Self::Adopted(Pid::from_raw(pid)))
    }

    fn runs(&mut self, files: &Files) -> bool {
        match self {
            Self::Child(child) => matches!(child.try_wait(), Ok(None)),
            Self::Adopted(pid) => kill(*pid, None).is_ok() && server::answers(&files.socket),
        }
    }

    /// Asks the server to write everything down and end, and waits until it has.
    fn end(&mut self) {
        match self {
            Self::Child(child) => {
                let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
                let _ = child.wait();
            }
            Self::Adopted(pid) => {
                let _ = kill(*pid, Signal::SIGTERM);
                while kill(*pid, None).is_ok() {
                    thread::sleep(LOOK);
                }
            }
        }
    }
}
