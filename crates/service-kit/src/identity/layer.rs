//! The layer that puts the [`Caller`](super::Caller) into a request.

use std::sync::Arc;

use fault::{Failure, reason};
use http::{HeaderMap, Request};
use tonic::body::Body;

use super::caller::nobody;
use super::renewal::Presented;
use super::{Caller, HEADER, Resolver, Signer, Standing, presented};
use crate::around::{Answer, Around, Inner};
use crate::tls::Handshaken;

/// Proves who calls. Nobody may send an identity that the mesh did not sign. Whoever proves nothing is refused before the
/// request is read, at every method but those of health and reflection: who is nobody holds no place while a body comes.
#[derive(Clone, Debug)]
pub(crate) struct IdentityLayer {
    signer: Signer,
    resolver: Arc<Resolver>,
}

impl IdentityLayer {
    pub(crate) fn new(signer: Signer, resolver: Resolver) -> Self {
        Self { signer, resolver: Arc::new(resolver) }
    }

    async fn standing(&self, headers: &HeaderMap, certified: bool) -> Result<Standing, Failure> {
        let mut identities = headers.get_all(HEADER).iter();
        if let Some(identity) = identities.next() {
            if !certified {
                let text = "an identity of the mesh is taken only over a connection with a certificate of the mesh";
                return Err(Failure::new(&reason::IDENTITY_FORGED, text));
            }
            // Of two identities one would be ignored; nothing is ignored here.
            let text = if identities.next().is_some() { "" } else { identity.to_str().unwrap_or_default() };
            return self.signer.verify(text).map(|caller| Standing { caller, presented: None });
        }
        let credential = presented(headers)?.ok_or_else(nobody)?;
        Standing::prove(&self.resolver, credential).await
    }
}

impl Around for IdentityLayer {
    fn around(&self, inner: &mut impl Inner, mut request: Request<Body>) -> Answer {
        if is_open(request.uri().path()) {
            return Box::pin(inner.call(request));
        }
        let layer = self.clone();
        // The one that is ready; its place is taken by one that will be asked again.
        let spare = inner.clone();
        let mut inner = std::mem::replace(inner, spare);
        Box::pin(async move {
            // Nothing but this layer says who calls.
            request.extensions_mut().remove::<Caller>();
            request.extensions_mut().remove::<Presented>();
            let certified = request.extensions().get::<Handshaken>().is_some_and(|shown| shown.certified);
            match layer.standing(request.headers(), certified).await {
                Ok(Standing { caller, presented }) => {
                    request.extensions_mut().insert(caller);
                    if let Some(presented) = presented {
                        request.extensions_mut().insert(presented);
                    }
                    inner.call(request).await
                }
                Err(failure) => Ok(tonic::Status::from(failure).into_http()),
            }
        })
    }
}

/// Probes and tools may ask without a credential, and must get an answer when management is away.
fn is_open(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.")
}
