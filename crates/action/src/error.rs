//! What can be wrong with a value of the vocabulary.

use fault::{Failure, Fault, reason};

use crate::Domain;

/// A value does not belong to the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An identifier breaks the grammar.
    #[error("`{field}` must be 3 to 64 characters out of A-Z a-z 0-9 _ -")]
    Id {
        /// Which identifier.
        field: &'static str,
    },
    /// An identifier that must be a UUID is none.
    #[error("`{field}` must be a UUID")]
    Uuid {
        /// Which identifier.
        field: &'static str,
    },
    /// The tier is none of the four.
    #[error("tier must be one of free, advance, professional, enterprise")]
    Tier,
    /// There is no such domain.
    #[error("`{0}` is not a domain; there are {list}", list = domains())]
    Domain(String),
    /// The context type is none of the three, or does not fit the context's id.
    #[error("{0}")]
    ContextType(&'static str),
    /// The name of a queue does not parse.
    #[error("a queue is {{domain}}:{{context_id}}:{{tier}} or {{domain}}:{{tenant_id}}:callbacks")]
    QueueName,
    /// The action type is not in the catalogue.
    #[error("action type `{0}` is not in the catalogue")]
    UnknownActionType(String),
    /// The payload is not the one that the catalogue lists.
    #[error("action type `{kind}` takes {expected}, not {found}")]
    PayloadMismatch {
        /// Type of the action.
        kind: String,
        /// Message that the catalogue lists.
        expected: String,
        /// Message that was found.
        found: String,
    },
    /// The payload does not decode.
    #[error("payload of `{0}` does not decode")]
    PayloadMalformed(String),
    /// A required part is absent.
    #[error("`{0}` is required")]
    Missing(&'static str),
}

fn domains() -> String {
    Domain::ALL.map(Domain::as_str).join(", ")
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        let text = self.to_string();
        match self {
            Self::Id { field } | Self::Uuid { field } | Self::Missing(field) => {
                Failure::new(&reason::INVALID_FIELD, text).field(*field)
            }
            Self::Tier => Failure::new(&reason::INVALID_TIER, text).field("tier"),
            Self::Domain(_) => Failure::new(&reason::QUEUE_NOT_FOUND, text).field("domain"),
            Self::ContextType(_) => Failure::new(&reason::INVALID_CONTEXT_TYPE, text).field("context_type"),
            Self::QueueName => Failure::new(&reason::INVALID_QUEUE_NAME, text).field("callback_queue"),
            Self::UnknownActionType(_) => Failure::new(&reason::UNKNOWN_ACTION_TYPE, text).field("action_type"),
            Self::PayloadMismatch { .. } | Self::PayloadMalformed(_) => {
                Failure::new(&reason::PAYLOAD_MISMATCH, text).field("payload")
            }
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
