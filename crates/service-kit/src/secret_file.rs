//! Files that hold one secret: for the owner alone, and never seen half written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::config::Secret;

/// Reads the secret in a file; where there is no file, makes it with a new secret. Of several processes that do so at once
/// one succeeds, and all return its secret.
pub fn keep(path: &Path, make: impl FnOnce() -> Secret) -> io::Result<Secret> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let secret = make();
    let beside = write_beside(path, &secret)?;
    // A link fails when the name is taken, where a rename would take another process' secret away.
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Ok(()) => settle(path).map(|()| secret),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
    }
}

/// Puts another secret in the place of the file's.
pub fn replace(path: &Path, secret: &Secret) -> io::Result<()> {
    fs::rename(write_beside(path, secret)?, path)?;
    settle(path)
}

fn read(path: &Path) -> io::Result<Secret> {
    let text = fs::read_to_string(path)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is empty", path.display())));
    }
    Ok(Secret::new(text))
}

fn write_beside(path: &Path, secret: &Secret) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder(path))?;
    let beside = path.with_extension(Uuid::new_v4().simple().to_string());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    writeln!(file, "{}", secret.expose())?;
    file.sync_all()?;
    Ok(beside)
}

/// Puts the name on the disk as well.
fn settle(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
