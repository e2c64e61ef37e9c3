//! Identities that were signed a moment ago. One says the same for every call of a caller, so it is signed once a second and not
//! once a call; HTTP/2 then sends it as one byte, too.

use std::time::Duration;

use ahash::RandomState;
use http::HeaderValue;
use moka::sync::Cache;

use super::{Caller, Signer};

/// How long an identity is used again; a small part of the time that it is in force.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an identity is in force: one hop.
const IN_FORCE: Duration = Duration::from_secs(30);
/// Most callers that are remembered.
const CAPACITY: u64 = 10_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Signed {
    signer: Signer,
    recent: Cache<Caller, HeaderValue, RandomState>,
}

impl Signed {
    pub(crate) fn new(signer: Signer) -> Self {
        let recent = Cache::builder().max_capacity(CAPACITY).time_to_live(AGAIN);
        Self { signer, recent: recent.build_with_hasher(RandomState::new()) }
    }

    /// Returns what tells a service who calls, as the value of [`super::HEADER`].
    pub(crate) fn header(&self, caller: &Caller) -> HeaderValue {
        self.recent.get(caller).unwrap_or_else(|| {
            let identity = self.signer.sign(caller, IN_FORCE);
            let identity = HeaderValue::try_from(identity).expect("base64 is visible ASCII");
            self.recent.insert(caller.clone(), identity.clone());
            identity
        })
    }
}
