//! Who is there: the credential of the upgrade or of a first frame, proved before anything is shown.

use action::{TenantId, Tier};
use axum::extract::ws::Message;
use fault::{Failure, reason};

use super::close::Close;
use super::drain::Place;
use super::frames::{Addressee, ProtocolError};
use super::line::Line;
use super::request::ClientFrame;
use super::wanted::Wanted;
use crate::credential::Credential;
use crate::edge::Edge;

/// Who opened a socket, as far as the upgrade told.
pub(super) struct Visitor {
    pub(super) wanted: Wanted,
    pub(super) credential: Option<Credential>,
}

/// Who opened a socket, proved.
pub(super) struct Known {
    pub(super) wanted: Wanted,
    pub(super) credential: Credential,
    pub(super) addressee: Addressee,
}

/// Makes sure who is there, and that there is a place for them.
pub(super) async fn greet(edge: &Edge, line: &mut Line, visitor: Visitor, place: &mut Place) -> Result<Known, Close> {
    let Visitor { wanted, credential } = visitor;
    let credential = match credential {
        Some(credential) => credential,
        None => await_auth(edge, line).await?,
    };
    let proved = prove(edge, &wanted, &credential).await.and_then(|(tenant, tier)| {
        edge.sockets.proved(place, &tenant)?;
        Ok((tenant, tier))
    });
    let (tenant, tier) = match proved {
        Ok(proved) => proved,
        Err(failure) => {
            line.say(ProtocolError::from(&failure).anonymous()).await?;
            return Err(verdict(&failure));
        }
    };
    let addressee = Addressee { tenant, tier, session: wanted.session.clone() };
    Ok(Known { wanted, credential, addressee })
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

/// Returns whose credential it is, if it fits what is wanted.
pub(super) async fn prove(edge: &Edge, wanted: &Wanted, credential: &Credential) -> Result<(TenantId, Tier), Failure> {
    let caller = edge.resolve(credential).await?;
    wanted.check(edge, &caller).await
}

/// Returns how a socket ends whose owner is not proved.
pub(super) fn verdict(failure: &Failure) -> Close {
    if failure.reason() == &reason::CREDENTIAL_EXPIRED {
        return Close::Expired;
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
