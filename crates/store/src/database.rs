//! Opening a database: the file, its pools, its migrations.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use action::TenantId;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::time::Instant;

use crate::{Error, Pool, Scoped, Transaction};

/// How long a statement waits for another process that is writing, and a caller for a connection.
const BUSY: Duration = Duration::from_secs(5);
/// How long a start waits for another process that is migrating.
const MIGRATING: Duration = Duration::from_secs(30);
/// Each reading connection is a thread and a page cache; readers never wait for each other's locks.
const READERS: u32 = 4;

/// What happens to the last commits when the power goes. The death of the process loses nothing in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A commit returns when the operating system has it, and is on the disk some seconds later (SQLite's
    /// `synchronous=NORMAL`). A power cut may take the newest commits away, whole and in order; it never damages the file.
    Fast,
    /// A commit returns when it is on the disk (`synchronous=FULL`), so that a power cut takes nothing away; costs one
    /// `fsync` a transaction.
    #[default]
    Fsync,
}

/// A service's tables. Cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Database {
    read: Pool,
    write: Pool,
}

impl Database {
    /// Opens the SQLite file at `path`, making it and its folder (readable by the owner alone) when they are not there,
    /// and applies the migrations that it lacks. Commits are [`Durability::Fsync`].
    pub async fn open(path: &Path, migrator: &Migrator) -> Result<Self, Error> {
        Self::open_with(path, migrator, Durability::Fsync).await
    }

    /// Like [`Database::open`], with a choice of what a power cut may cost.
    pub async fn open_with(path: &Path, migrator: &Migrator, durability: Durability) -> Result<Self, Error> {
        prepare(path).map_err(|source| Error::NotWritable { path: path.to_owned(), source })?;
        // Held until the function ends: of several processes that start at once, one switches the file to WAL and migrates.
        let _alone = lock(path).await?;
        let write = writer(path, durability).await?;
        migrator
            .run(&write)
            .await
            .map_err(|error| Error::Migrate { path: path.to_owned(), source: Box::new(error) })?;
        Ok(Self { read: readers(path), write })
    }

    /// Returns the connections for reading; a write through them is refused.
    pub fn read(&self) -> &Pool {
        &self.read
    }

    /// Returns the writing connection. A transaction that reads before it writes uses [`Database::begin`] instead.
    pub fn write(&self) -> &Pool {
        &self.write
    }

    /// Begins a writing transaction: it is the only one in this moment, over all processes, so that what it reads stays
    /// true until it commits. `UNAVAILABLE` when its turn does not come within 5 s.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        // A deferred transaction would get its turn at its first write, and fail if somebody wrote after its first read.
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Returns a tenant's part.
    pub fn tenant<'a>(&'a self, tenant: &'a TenantId) -> Scoped<'a> {
        Scoped::new(self, tenant)
    }

    /// Closes every connection, waiting for statements that run. The last one to close folds the log into the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Makes the folder and the file, so that both belong to the owner alone; SQLite's side files inherit the file's mode.
///
/// A file that exists is not opened: closing it again would drop the locks that this process holds on it through SQLite.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    open_private(&lock_path(path))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Waits until no other process is opening the database. The lock goes with the file handle, also when the process dies.
async fn lock(path: &Path) -> Result<File, Error> {
    let not_writable = |source| Error::NotWritable { path: path.to_owned(), source };
    let file = open_private(&lock_path(path)).map_err(not_writable)?;
    let until = Instant::now() + MIGRATING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(Error::Unavailable(sqlx::Error::PoolTimedOut));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn connection(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).foreign_keys(true).busy_timeout(BUSY)
}

async fn writer(path: &Path, durability: Durability) -> Result<Pool, Error> {
    let synchronous = match durability {
        Durability::Fast => SqliteSynchronous::Normal,
        Durability::Fsync => SqliteSynchronous::Full,
    };
    let options = connection(path).journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(BUSY)
        .connect_with(options)
        .await
        .map_err(|source| Error::Open { path: path.to_owned(), source })
}

fn readers(path: &Path) -> Pool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .max_lifetime(None)
        .acquire_timeout(BUSY)
        .connect_lazy_with(connection(path).pragma("query_only", "ON"))
}
