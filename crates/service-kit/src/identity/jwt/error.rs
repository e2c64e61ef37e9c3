//! Why a token is not accepted.

use std::time::Duration;

use fault::{Failure, Fault, reason};

/// A token was refused. What is wrong with its claims is said only of tokens whose signature fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// No key is configured.
    #[error("tokens are not accepted here: neither JWT_SECRET nor JWT_JWKS_URL is set")]
    NotConfigured,
    /// It is no signed token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Its header asks for something that is not done.
    #[error("the token's header is not accepted: {0}")]
    Header(&'static str),
    /// No key of this id.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// It was not signed with the key, or changed since.
    #[error("the token's signature does not fit")]
    Signature,
    /// A claim is missing or malformed, or says something else than it must.
    #[error("the token's claim `{claim}` {problem}")]
    Claim {
        /// Name of the claim.
        claim: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The keys cannot be fetched.
    #[error("tokens cannot be checked at the moment")]
    Away,
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        let text = self.to_string();
        match self {
            Self::Expired => Failure::new(&reason::CREDENTIAL_EXPIRED, text),
            Self::Away => Failure::new(&reason::UNAVAILABLE, text).retry_after(Duration::from_secs(1)),
            Self::Claim { claim, .. } => Failure::new(&reason::CREDENTIAL_INVALID, text).with("claim", *claim),
            _ => Failure::new(&reason::CREDENTIAL_INVALID, text),
        }
    }
}
