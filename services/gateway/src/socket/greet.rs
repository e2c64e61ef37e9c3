//! Who is there: the credential of the upgrade or of a first frame, proved before anything is shown.

use std::sync::Arc;

use action::{TenantId, Tier};
use axum::extract::ws::Message;
use fault::{Failure, reason};
use service_kit::Caller;

use super::close::Close;
use super::drain::Place;
use super::frames::{Addressee, ProtocolError};
use super::line::Line;
use super::proof::{Principal, Proof, prove};
use super::request::ClientFrame;
use super::seat::lease;
use super::wanted::Wanted;
use crate::credential::Credential;
use crate::edge::Edge;

/// Who opened a socket, as far as the upgrade told.
pub(super) struct Visitor {
    pub(super) wanted: Wanted,
    pub(super) proof: Option<Proof>,
}

/// Makes sure who is there, and that there is a place for them.
pub(super) async fn greet(
    edge: &Edge,
    line: &mut Line,
    visitor: Visitor,
    place: &mut Place,
) -> Result<Principal, Close> {
    let Visitor { wanted, proof } = visitor;
    let proof = match proof {
        Some(proof) => proof,
        None => Proof::by(await_auth(edge, line).await?, None),
    };
    // In a box of its own: what it takes to prove somebody is not held as long as the socket is.
    let (caller, tenant, tier) = match Box::pin(seated(edge, &wanted, &proof, place)).await {
        Ok(proved) => proved,
        Err(failure) => {
            line.say(ProtocolError::from(&failure).anonymous()).await?;
            return Err(verdict(&failure));
        }
    };
    let proof = proof.of(&caller);
    let addressee = Addressee { tenant, tier, session: wanted.session.clone() };
    Ok(Principal { edge: edge.clone(), wanted: Arc::new(wanted), proof, addressee })
}

async fn seated(
    edge: &Edge,
    wanted: &Wanted,
    proof: &Proof,
    place: &mut Place,
) -> Result<(Caller, TenantId, Tier), Failure> {
    let (caller, tenant, tier) = prove(edge, wanted, proof).await?;
    edge.sockets.proved(place, &tenant).map_err(|full| full.of("sockets"))?;
    if !place.counts() {
        place.count(lease(edge, wanted, &caller).await?);
    }
    Ok((caller, tenant, tier))
}

/// Waits for the `auth` frame of a socket that came without a credential. Clients that do not read have no more time.
async fn await_auth(edge: &Edge, line: &mut Line) -> Result<Credential, Close> {
    tokio::select! {
        () = tokio::time::sleep(edge.config.auth_timeout) => Err(Close::AuthTimeout),
        () = edge.sockets.farewell() => Err(Close::Draining),
        credential = hear_auth(line) => credential,
    }
}

async fn hear_auth(line: &mut Line) -> Result<Credential, Close> {
    loop {
        let Message::Text(text) = line.hear().await? else { continue };
        let error = match ClientFrame::parse(&text) {
            Ok(ClientFrame::Auth(credential)) => return Ok(credential),
            Ok(_) => ProtocolError::new("CREDENTIAL_REQUIRED", "send an `auth` frame first"),
            Err(error) => error,
        };
        line.say(error.anonymous()).await?;
    }
}

/// Returns how a socket ends whose owner is not proved.
pub(super) fn verdict(failure: &Failure) -> Close {
    if failure.reason() == &reason::CREDENTIAL_EXPIRED {
        return Close::Expired;
    }
    if failure.reason() == &reason::CONNECTION_LIMIT {
        return Close::ConnectionLimit;
    }
    match failure.reason().code {
        fault::Code::Unauthenticated => Close::InvalidToken,
        fault::Code::Unavailable
        | fault::Code::ResourceExhausted
        | fault::Code::Internal
        | fault::Code::DeadlineExceeded => Close::Unavailable,
        _ => Close::Forbidden,
    }
}
