//! What can go wrong with a document.

use fault::{Failure, Fault, reason};

/// Why a document was not taken or not processed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another part of the system refused or failed; its own words are passed on.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A name or an action is malformed.
    #[error(transparent)]
    Action(#[from] action::Error),
    /// A field of the request is missing or out of bounds.
    #[error("{field}: {text}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        text: String,
    },
    /// The upload is larger than the tier allows.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// Most bytes of a document.
        limit: u64,
    },
    /// The document is of a kind that cannot be read.
    #[error("the document is {0}")]
    Unsupported(&'static str),
    /// The document needs a password.
    #[error("the document is encrypted")]
    Encrypted,
    /// The document is damaged or not what it claims to be.
    #[error("the document cannot be read: {0}")]
    Unreadable(&'static str),
    /// The document holds no text.
    #[error("the document holds no text")]
    Empty,
    /// The document gives more chunks than the tier allows.
    #[error("the document gives more than {chunks} chunks")]
    TooLong {
        /// Most chunks of a document.
        chunks: usize,
    },
    /// There is no such document for the tenant.
    #[error("no such document")]
    NotFound,
    /// A later upload replaced the document while it was waiting.
    #[error("a later upload replaced the document")]
    Replaced,
    /// The embedding service runs another model than the one chunks were measured with.
    #[error("texts are embedded by another model than they were measured with")]
    OtherModel,
    /// The table of documents did not answer.
    #[error("the table of documents: {0}")]
    Store(#[from] store::Error),
    /// The progress could not be told, or a later attempt tells it.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The bytes cannot be written or read.
    #[error("the object store: {0}")]
    Io(#[from] std::io::Error),
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        let text = self.to_string();
        match self {
            Self::Failed(failure) => failure.clone(),
            Self::Action(error) => error.failure(),
            Self::Field { field, text } => Failure::new(&reason::INVALID_FIELD, text.clone()).field(*field),
            Self::TooLarge { limit } => {
                Failure::new(&reason::BODY_TOO_LARGE, text).field("file").with("limit_bytes", limit.to_string())
            }
            Self::Unsupported(_) => Failure::new(&reason::UNSUPPORTED_DOCUMENT_TYPE, text).field("file"),
            Self::Encrypted => Failure::new(&reason::DOCUMENT_ENCRYPTED, text).field("file"),
            Self::Unreadable(_) => Failure::new(&reason::DOCUMENT_UNREADABLE, text).field("file"),
            Self::Empty => Failure::new(&reason::DOCUMENT_EMPTY, text).field("file"),
            Self::TooLong { chunks } => {
                Failure::new(&reason::DOCUMENT_TOO_LONG, text).field("file").with("limit_chunks", chunks.to_string())
            }
            Self::NotFound => Failure::new(&reason::NOT_FOUND, text).field("document_id"),
            Self::Replaced => Failure::new(&reason::CANCELLED, text),
            Self::OtherModel => Failure::new(&reason::PROVIDER_REJECTED, text),
            Self::Store(error) => error.failure(),
            Self::Session(error) => error.failure(),
            Self::Io(_) => Failure::internal(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
