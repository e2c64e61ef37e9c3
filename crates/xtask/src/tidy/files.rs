//! The shape of files and folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Most lines of a file a reader still finds their way in.
const MOST_LINES: usize = 400;

const FORBIDDEN_MODULES: &[&str] =
    &["common.rs", "core.rs", "utils.rs", "util.rs", "helpers.rs", "types.rs", "misc.rs"];

/// Returns every file or folder that breaks a rule.
pub(super) fn check() -> Result<Vec<String>> {
    let root = crate::root();
    let mut broken = Vec::new();
    for folder in ["crates", "services"] {
        let mut sources = Vec::new();
        rust_files(&root.join(folder), &mut sources)?;
        for path in sources {
            check_source(root, &path, &mut broken)?;
        }
    }
    check_services(root, &mut broken)?;
    Ok(broken)
}

fn check_source(root: &Path, path: &Path, broken: &mut Vec<String>) -> Result<()> {
    let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = fs::read_to_string(path)?;
    let lines = text.lines().count();
    if lines > MOST_LINES {
        broken.push(format!("{shown}: {lines} lines, at most {MOST_LINES}"));
    }
    let is_test = shown.contains("/tests/") || name == "tests.rs";
    if !is_test && !text.starts_with("//!") && !text.starts_with("#![doc") {
        broken.push(format!("{shown}: opens without a word on what it is for"));
    }
    if FORBIDDEN_MODULES.contains(&name) {
        broken.push(format!("{shown}: a name that cannot say no"));
    }
    for mark in ["todo!(", "unimplemented!(", "FIX\u{4d}E", "XX\u{58}"] {
        if !shown.contains("xtask") && text.contains(mark) {
            broken.push(format!("{shown}: holds `{mark}`"));
        }
    }
    Ok(())
}

/// Every service says what it owns, and has a commented reference of its settings.
fn check_services(root: &Path, broken: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(root.join("services"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !path.join("README.md").exists() {
            broken.push(format!("services/{name}: no README.md"));
        }
        let reference = root.join(format!("deploy/config/{name}.toml"));
        if name != "nooble" && !reference.exists() {
            broken.push(format!("services/{name}: no deploy/config/{name}.toml"));
        }
    }
    Ok(())
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("gen") && !path.ends_with("target") {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
