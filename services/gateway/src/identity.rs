//! Who sends a request, as handlers take it. What a request asserts about its sender must be what was proved, on every route.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use fault::Failure;
use http::HeaderMap;
use http::request::Parts;
use service_kit::identity::Standing;
use service_kit::{Caller, Scope};

use crate::credential::Credential;
use crate::edge::Edge;
use crate::headers::{self, Asserted, name};
use crate::problem::Refusal;

/// A tenant whose calls are accepted, proved by its credential.
#[derive(Clone, Debug)]
pub(crate) struct Proved(pub(crate) Caller);

/// Like [`Proved`], of a message: what its headers assert is looked at when all that it needs is there.
#[derive(Clone, Debug)]
pub(crate) struct Writer(pub(crate) Caller);

/// Like [`Proved`], of a stream, which ends when its caller has to prove itself again.
#[derive(Clone, Debug)]
pub(crate) struct Staying(pub(crate) Standing);

/// Whoever proved anything: a tenant, or an operator who has none.
#[derive(Clone, Debug)]
pub(crate) struct Anyone(pub(crate) Caller);

/// Where it is noted who sent a request, for what is done around all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<OnceLock<Caller>>);

impl Known {
    /// Returns who sent the request, once that was proved.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.0.get()
    }

    /// Notes who sent the request that these parts belong to.
    pub(crate) fn note(parts: &http::Extensions, caller: &Caller) {
        if let Some(known) = parts.get::<Self>() {
            known.tell(caller);
        }
    }

    /// The same where it is at hand.
    pub(crate) fn tell(&self, caller: &Caller) {
        // Noted once; a request has one sender.
        let _before = self.0.set(caller.clone());
    }
}

/// Notes who sends a request that goes nowhere, if they prove it: their limits are shown on every answer.
pub(crate) async fn recognise(edge: &Edge, headers: &HeaderMap, noted_in: &http::Extensions) {
    if let Ok(Some(credential)) = Credential::find(headers)
        && let Ok(caller) = edge.resolve(&credential).await
    {
        Known::note(noted_in, &caller);
    }
}

/// Checks that a request comes from whom its headers say.
fn agree(headers: &HeaderMap, caller: &Caller) -> Result<(), Failure> {
    Asserted::parse(headers)?.agree(caller)?;
    headers::unique(headers, [name::USER].iter())?;
    caller.assert_user(headers::id(headers, name::USER)?, name::USER).map(drop)
}

impl FromRequestParts<Edge> for Proved {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Refusal> {
        let Writer(caller) = Writer::from_request_parts(parts, edge).await?;
        agree(&parts.headers, &caller)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<Edge> for Writer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Refusal> {
        let caller = edge.resolve(&Credential::of(&parts.headers)?).await?;
        Known::note(&parts.extensions, &caller);
        Ok(Self(caller))
    }
}

impl FromRequestParts<Edge> for Staying {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Refusal> {
        let standing = Standing::prove(&edge.resolver, Credential::of(&parts.headers)?.expose()).await?;
        standing.caller().tenant()?;
        Known::note(&parts.extensions, standing.caller());
        agree(&parts.headers, standing.caller())?;
        Ok(Self(standing))
    }
}

impl FromRequestParts<Edge> for Anyone {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Refusal> {
        let caller = edge.resolver.resolve(Credential::of(&parts.headers)?.expose()).await?;
        if !caller.scopes.contains(Scope::Admin) {
            caller.tenant()?;
        }
        Known::note(&parts.extensions, &caller);
        agree(&parts.headers, &caller)?;
        Ok(Self(caller))
    }
}
