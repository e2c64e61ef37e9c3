//! Installs peers into the tools folder, with the exact versions that the table of peers names.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{Kind, Peer, Places};

/// What the Python peers share.
const STAGE: &str = include_str!("../../peers/python/stage.py");

/// What is run for each peer.
const SCRIPTS: &[(&str, &str)] = &[
    ("bullmq", include_str!("../../peers/bullmq/peer.mjs")),
    ("arq", include_str!("../../peers/python/arq.py")),
    ("rq", include_str!("../../peers/python/rq.py")),
    ("dramatiq", include_str!("../../peers/python/dramatiq.py")),
    ("celery", include_str!("../../peers/python/celery.py")),
];

/// The project of the Rust peers.
const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../peers/rust/Cargo.toml")),
    ("src/stage.rs", include_str!("../../peers/rust/src/stage.rs")),
    ("src/bullmq.rs", include_str!("../../peers/rust/src/bullmq.rs")),
    ("src/apalis.rs", include_str!("../../peers/rust/src/apalis.rs")),
];

/// Makes a peer runnable: writes its script, and installs what it needs unless that is there already.
pub fn install(peer: &Peer, places: &Places, say: &mut dyn FnMut(&str)) -> Result<()> {
    let folder = peer.folder(&places.tools);
    match peer.kind {
        Kind::Ours => Ok(()),
        Kind::Node { packages } => {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("peer.mjs"), script(peer)?)?;
            once(&folder, &packages.join("\n"), || {
                say(&format!("installing {}", packages.join(", ")));
                let flags = ["install", "--silent", "--no-fund", "--no-audit", "--no-package-lock", "--prefix"];
                run(Command::new("npm").args(flags).arg(&folder).args(packages))
            })
        }
        Kind::Python { packages } => {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("peer.py"), script(peer)?)?;
            fs::write(folder.join("stage.py"), STAGE)?;
            once(&folder, &packages.join("\n"), || {
                say(&format!("installing {}", packages.join(", ")));
                let venv = folder.join("venv");
                run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
                run(Command::new(venv.join("bin/python")).args(pip).args(packages))
            })
        }
        Kind::Rust { feature, .. } => {
            for (path, text) in RUST {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().unwrap_or(&folder))?;
                write_if_changed(&path, text)?;
            }
            let what = RUST.iter().map(|(_, text)| *text).collect::<String>();
            once(&folder, &what, || {
                say(&format!("building {} (a few minutes)", peer.title));
                run(Command::new("cargo")
                    .args(["build", "--quiet", "--release", "--features", feature, "--target-dir"])
                    .arg(places.tools.join("rust-target"))
                    .arg("--manifest-path")
                    .arg(folder.join("Cargo.toml")))
            })
        }
    }
}

/// Leaves a file alone that is right already, so that nothing is built again for its age.
fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    Ok(fs::write(path, text)?)
}

fn script(peer: &Peer) -> Result<&'static str> {
    let found = SCRIPTS.iter().find(|(name, _)| *name == peer.name);
    found.map(|(_, text)| *text).with_context(|| format!("{} has no script", peer.name))
}

/// Does something unless it was done for the same text before.
fn once(folder: &Path, what: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|text| text == what) {
        return Ok(());
    }
    install()?;
    Ok(fs::write(mark, what)?)
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}", text.lines().last().unwrap_or("without a word"));
    }
    Ok(())
}
