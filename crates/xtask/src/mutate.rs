//! The mutation check: breaks one line of the queue's scripts at a time and expects the tests to notice.
//!
//! The tests are built once. Debug builds of the queue take their scripts from the folder in `NOOBLE_QUEUE_LUA`, so that a
//! mutation costs no build. Those of `table::PROMISES` are tried, and all of them with `NOOBLE_MUTATIONS=all`.

mod table;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::Message;
use table::{ALL, Mutation, PROMISES};

/// What is run against a broken script, the quickest first; the rest is left out once one has failed.
const ROUNDS: &[&[&str]] = &[
    &["limits::", "batches::", "bad_input::", "scheduling::stops", "trouble::a_full_redis"],
    &["model::whatever_happens_shortly", "model::whatever_happens_to"],
    &["model::whatever_happens_the", "scheduling::shares", "control::dead", "control::rules"],
];
/// Cases of each property test: enough for a line that matters.
const CASES: &str = "400";
/// A broken script may run for ever; that is noticed as well.
const PATIENCE: Duration = Duration::from_mins(1);

/// Tries the mutations and fails when one survives, or when its line is not there any more.
pub(crate) fn check() -> Result<()> {
    let scripts = crate::root().join("crates/queue/src/lua");
    for mutation in ALL {
        let text = fs::read_to_string(path_of(&scripts, mutation.file))?;
        let times = text.matches(mutation.from).count();
        ensure!(times == 1, "{}.lua, {}: the line stands there {times} times", mutation.file, mutation.what);
    }
    let tests = build()?;
    ensure!(!fails(&tests, &scripts)?, "the tests fail with the scripts as they are");
    let chosen = choose();
    ensure!(chosen.len() >= PROMISES.len(), "a mutation that is always tried is not in the table");
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hands = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(mutation) = chosen.get(next.fetch_add(1, Ordering::SeqCst)) {
                if !is_noticed(mutation, &tests, &scripts)? {
                    let survivor = format!("{}.lua, {}: nobody noticed", mutation.file, mutation.what);
                    survivors.lock().expect("no thread panics").push(survivor);
                }
            }
            Ok(())
        };
        let threads: Vec<_> = (0..hands).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    let survivors = survivors.into_inner().expect("no thread panics");
    if !survivors.is_empty() {
        bail!("{}", survivors.join("\n"));
    }
    Ok(())
}

/// Returns the mutations that break a promise, or all.
#[expect(clippy::disallowed_methods, reason = "no service, so no settings")]
fn choose() -> Vec<&'static Mutation> {
    let all = std::env::var("NOOBLE_MUTATIONS").is_ok_and(|wanted| wanted == "all");
    ALL.iter().filter(|mutation| all || PROMISES.contains(&(mutation.file, mutation.what))).collect()
}

fn path_of(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!("{file}.lua"))
}

/// Builds the queue's tests and returns their program.
fn build() -> Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--workspace", "--no-run", "--test", "it", "--message-format", "json"]);
    let output = command.current_dir(crate::root()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests do not build");
    let manifest = crate::root().join("crates/queue/Cargo.toml");
    for message in Message::parse_stream(output.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.manifest_path.as_std_path() == manifest
            && let Some(program) = artifact.executable
            && artifact.target.name == "it"
        {
            return Ok(program.into());
        }
    }
    bail!("the queue has no tests")
}

/// Tells whether the tests fail when this line is broken.
fn is_noticed(mutation: &Mutation, tests: &Path, scripts: &Path) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(scripts)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    let target = path_of(folder.path(), mutation.file);
    fs::write(&target, fs::read_to_string(&target)?.replacen(mutation.from, mutation.to, 1))?;
    fails(tests, folder.path())
}

fn fails(tests: &Path, scripts: &Path) -> Result<bool> {
    for round in ROUNDS {
        let mut command = Command::new(tests);
        command.args(*round).args(["--test-threads", "4"]).current_dir(crate::root().join("crates/queue"));
        command.env("NOOBLE_QUEUE_LUA", scripts).env("NOOBLE_CASES", CASES);
        // A group of its own, so that servers end with the tests that started them.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().context("the tests do not start")?;
        if !succeeds(child)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits for the tests; those that hang are ended and have failed.
fn succeeds(mut child: Child) -> Result<bool> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() >= end {
            Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
