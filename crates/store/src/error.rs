//! How the store can fail.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fault::{Failure, Fault, reason};
use sqlx::error::ErrorKind;

/// What SQLite calls busy, locked, read-only, an input or output error, full, and impossible to open.
const PASSING: [u32; 6] = [5, 6, 8, 10, 13, 14];

/// A statement or the opening of a database did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the database cannot be made or written to.
    #[error("cannot write to the folder of the database {}", path.display())]
    NotWritable {
        /// Path of the database.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be opened, or is not a database.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// Path of the database.
        path: PathBuf,
        /// What did not work.
        #[source]
        source: sqlx::Error,
    },
    /// The tables in the file are not those of this service, or of a later version of it.
    #[error("cannot bring the database {} up to date", path.display())]
    Migrate {
        /// Path of the database.
        path: PathBuf,
        /// What did not fit.
        #[source]
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// A row with this key exists already.
    #[error("a row with this key exists already")]
    Exists(#[source] sqlx::Error),
    /// The database is locked, full, out of connections, or its file is not reachable; it may work again later.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A page size or page token cannot be used.
    #[error("`{field}` {problem}")]
    Page {
        /// `page_size` or `page_token`.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A stored value is not one that is ever written.
    #[error("stored `{0}` does not parse")]
    Stored(&'static str),
    /// Anything else: a defect of ours, or a damaged file.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                true
            }
            sqlx::Error::Database(refusal) if refusal.kind() == ErrorKind::UniqueViolation => {
                return Self::Exists(error);
            }
            sqlx::Error::Database(refusal) => {
                // The low byte of SQLite's extended result code is the primary one.
                let code = refusal.code().and_then(|code| code.parse::<u32>().ok());
                code.is_some_and(|code| PASSING.contains(&(code & 0xff)))
            }
            _ => false,
        };
        if passing { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Exists(_) => Failure::new(&reason::ALREADY_EXISTS, "something with this id or name exists already"),
            Self::Unavailable(_) => Failure::new(&reason::UNAVAILABLE, "the database does not answer at the moment")
                .retry_after(Duration::from_secs(1)),
            Self::Page { field, .. } => Failure::new(&reason::INVALID_FIELD, self.to_string()).field(*field),
            Self::NotWritable { .. }
            | Self::Open { .. }
            | Self::Migrate { .. }
            | Self::Stored(_)
            | Self::Refused(_) => Failure::internal(),
        }
    }
}
