//! The object store: a directory that holds the bytes of documents.
//!
//! An object is written beside, and gets its place when it is complete and on the disk: what has a place is whole. What
//! was begun and not completed is removed, at the latest by the next start.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use action::{DocumentId, TenantId};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::media::{HEAD, has_utf16_mark, is_control};

/// Where objects are written; no tenant can have this name.
const INCOMING: &str = ".incoming";
/// No upload lasts longer; what is older was left behind by a process that died.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// The directory of objects.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    root: PathBuf,
}

/// What an object is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectKey {
    pub(crate) tenant: TenantId,
    pub(crate) document: DocumentId,
    pub(crate) version: u64,
}

impl ObjectKey {
    /// Writes the key as it travels in an action.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.document, self.version)
    }
}

impl Objects {
    /// Opens the store, making the directory, and removes what uploads of dead processes left behind.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        let incoming = root.join(INCOMING);
        std::fs::create_dir_all(&incoming)?;
        for entry in std::fs::read_dir(&incoming)? {
            let entry = entry?;
            let age = entry.metadata()?.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > LEFT_BEHIND) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { root })
    }

    /// Begins to write an object.
    pub(crate) async fn begin(&self) -> io::Result<Incoming> {
        let path = self.root.join(INCOMING).join(Uuid::new_v4().to_string());
        let file = File::create_new(&path).await?;
        Ok(Incoming { file, path, seen: Seen::default(), hash: Sha256::new() })
    }

    /// Gives a complete object its place.
    pub(crate) async fn place(&self, stored: &Stored, key: &ObjectKey) -> io::Result<()> {
        let path = self.path(key);
        let folder = path.parent().expect("the path of an object has a folder");
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::rename(&stored.path, &path).await?;
        // The name is on the disk when its folder is.
        File::open(folder).await?.sync_all().await
    }

    /// Returns where an object is.
    pub(crate) fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.tenant.as_str()).join(key.document.as_str()).join(key.version.to_string())
    }

    /// Removes an object; one that is not there counts as removed.
    pub(crate) async fn remove(&self, key: &ObjectKey) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(key)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What the bytes of an object are like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The first [`HEAD`] bytes.
    pub(crate) head: Vec<u8>,
    /// Number of bytes.
    pub(crate) size: u64,
    /// Whether any byte is one that never stands in text.
    pub(crate) has_control: bool,
    /// Whether any byte is more than a blank.
    pub(crate) has_ink: bool,
}

impl Seen {
    fn look(&mut self, bytes: &[u8]) {
        let wanted = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
        self.size += bytes.len() as u64;
        self.has_control |= bytes.iter().any(|byte| is_control(*byte));
        self.has_ink |= bytes.iter().any(|byte| *byte > b' ');
    }

    /// Tells whether the bytes can be text, whatever the encoding.
    pub(crate) fn may_be_text(&self) -> bool {
        !self.has_control || has_utf16_mark(&self.head)
    }
}

/// An object that is being written; removed unless it is completed.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    path: PathBuf,
    seen: Seen,
    hash: Sha256,
}

impl Incoming {
    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.seen.look(bytes);
        self.hash.update(bytes);
        self.file.write_all(bytes).await
    }

    /// Returns what the bytes so far are like.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Waits until everything is on the disk.
    pub(crate) async fn complete(mut self) -> io::Result<Stored> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let digest = self.hash.finalize_reset();
        let sha256 = digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let (path, seen) = (std::mem::take(&mut self.path), std::mem::take(&mut self.seen));
        Ok(Stored { path, seen, sha256 })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A complete object without a place; removed unless it gets one.
#[derive(Debug)]
pub(crate) struct Stored {
    path: PathBuf,
    /// What its bytes are like.
    pub(crate) seen: Seen,
    /// Their SHA-256, in hexadecimal.
    pub(crate) sha256: String,
}

impl Stored {
    /// Returns where it is now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A completed object is not at this path any more, and one that cannot be removed is removed by a later start.
fn remove(path: &Path) {
    if !path.as_os_str().is_empty() {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectKey, Objects};

    fn key() -> ObjectKey {
        ObjectKey { tenant: "tenant".parse().unwrap(), document: "document".parse().unwrap(), version: 3 }
    }

    fn files(root: &std::path::Path) -> usize {
        std::fs::read_dir(root.join(".incoming")).unwrap().count()
    }

    #[tokio::test]
    async fn a_completed_object_is_whole_and_has_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path().to_owned()).unwrap();
        let mut incoming = objects.begin().await.unwrap();
        incoming.write(b"hello ").await.unwrap();
        incoming.write(b"world").await.unwrap();
        let stored = incoming.complete().await.unwrap();
        assert_eq!(stored.sha256, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
        objects.place(&stored, &key()).await.unwrap();
        drop(stored);
        assert_eq!(std::fs::read(objects.path(&key())).unwrap(), b"hello world");
        assert_eq!(files(dir.path()), 0);
        objects.remove(&key()).await.unwrap();
        objects.remove(&key()).await.unwrap();
        assert!(!objects.path(&key()).exists());
    }

    #[tokio::test]
    async fn what_was_not_completed_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path().to_owned()).unwrap();
        let mut incoming = objects.begin().await.unwrap();
        incoming.write(b"half").await.unwrap();
        assert_eq!(files(dir.path()), 1);
        drop(incoming);
        assert_eq!(files(dir.path()), 0);
        drop(objects.begin().await.unwrap().complete().await.unwrap());
        assert_eq!(files(dir.path()), 0);
    }

    #[tokio::test]
    async fn the_bytes_are_looked_at_while_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path().to_owned()).unwrap();
        let mut incoming = objects.begin().await.unwrap();
        incoming.write(b" \n").await.unwrap();
        assert!(!incoming.seen().has_ink && incoming.seen().may_be_text());
        incoming.write(&[b'a'; 5000]).await.unwrap();
        incoming.write(b"\0").await.unwrap();
        let seen = incoming.seen();
        assert!(seen.has_ink && !seen.may_be_text());
        assert_eq!((seen.size, seen.head.len()), (5003, 4096));
    }
}
