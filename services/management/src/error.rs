//! How the use cases can fail.

use std::io;
use std::path::{Path, PathBuf};

use action::Tier;
use fault::{Failure, Fault, Reason, reason};

/// What can be looked for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A tenant.
    Tenant,
    /// An agent.
    Agent,
    /// A collection.
    Collection,
    /// An API key.
    Key,
}

impl Thing {
    const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Agent => "agent",
            Self::Collection => "collection",
            Self::Key => "key",
        }
    }

    const fn reason(self) -> &'static Reason {
        match self {
            Self::Tenant | Self::Key => &reason::NOT_FOUND,
            Self::Agent => &reason::AGENT_NOT_FOUND,
            Self::Collection => &reason::COLLECTION_NOT_FOUND,
        }
    }
}

/// A call was refused or did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is missing or out of bounds.
    #[error("`{field}` {problem}")]
    Field {
        /// Path of the field in the request.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The tenant's tier does not allow as many.
    #[error("tier `{tier}` allows {limit} {what}")]
    TierLimit {
        /// Path of the field in the request.
        field: &'static str,
        /// Tier of the tenant.
        tier: Tier,
        /// How many it allows.
        limit: u32,
        /// Of what.
        what: &'static str,
    },
    /// Agents that run workflows are part of the contract and not served yet.
    #[error("agents of type workflow are not available yet")]
    WorkflowAgent,
    /// There is no such thing for the tenant; one of another tenant looks the same.
    #[error("there is no such {}", thing.word())]
    NotFound {
        /// What was looked for.
        thing: Thing,
        /// Path of the field in the request.
        field: &'static str,
    },
    /// A public address names nothing that can be talked to.
    #[error("nothing public is at this address")]
    ContextNotResolved,
    /// The id or name is taken.
    #[error("`{field}` is taken")]
    Exists {
        /// Path of the field in the request.
        field: &'static str,
    },
    /// The credential is malformed, unknown, wrong or revoked: all of it looks the same.
    #[error("the key is unknown or revoked")]
    Credential,
    /// The key is the right one, and its time is over.
    #[error("the key has expired")]
    Expired,
    /// The caller may not do this, or a value is outside the vocabulary.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file of keys in the data directory cannot be read or made.
    #[error("cannot use the key file {}", path.display())]
    KeyFile {
        /// Path of the file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }

    /// Says which field of the request it was that made a row exist twice.
    pub(crate) fn exists(field: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |error| match error.into() {
            store::Error::Exists(_) => Self::Exists { field },
            other => Self::Store(other),
        }
    }
}

impl From<action::Error> for Error {
    fn from(error: action::Error) -> Self {
        Self::Refused(error.failure())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        let text = self.to_string();
        match self {
            Self::Field { field, .. } => Failure::new(&reason::INVALID_FIELD, text).field(*field),
            Self::TierLimit { field, tier, limit, .. } => Failure::new(&reason::TIER_LIMIT_REACHED, text)
                .field(*field)
                .with("tier", tier.as_str())
                .with("limit", limit.to_string()),
            Self::WorkflowAgent => Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, text).field("agent.type"),
            Self::NotFound { thing, field } => Failure::new(thing.reason(), text).field(*field),
            Self::ContextNotResolved => Failure::new(&reason::CONTEXT_NOT_RESOLVED, text),
            Self::Exists { field } => Failure::new(&reason::ALREADY_EXISTS, text).field(*field),
            Self::Credential => Failure::new(&reason::CREDENTIAL_INVALID, text),
            Self::Expired => Failure::new(&reason::CREDENTIAL_EXPIRED, text),
            Self::Refused(failure) => failure.clone(),
            Self::Store(error) => error.failure(),
            Self::KeyFile { .. } => Failure::internal(),
        }
    }
}

impl Error {
    /// Says which key file an operation failed on.
    pub(crate) fn key_file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::KeyFile { path, source }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
