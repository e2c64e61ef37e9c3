//! `GET /ws/{session_id}`: who may open a socket. Whatever can be refused is refused before the upgrade, as a problem.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use fault::{Failure, reason};
use http::HeaderMap;
use service_kit::Caller;
use tokio::time::Instant;

use super::greet::Visitor;
use super::proof::Proof;
use super::seat::lease;
use super::session;
use super::wanted::{self, Wanted};
use crate::credential::Credential;
use crate::edge::Edge;
use crate::identity::Known;
use crate::params::Params;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::tickets;

/// The subprotocol that is spoken.
const PROTOCOL: &str = "nooble.v1";

/// tungstenite's 128 KiB would be most of what an idle socket costs.
const READ_BUFFER: usize = 1024;

/// Handles the route: identity, parameters, assertions, places, upgrade.
pub(crate) async fn upgrade(
    State(edge): State<Edge>,
    Segment(session): Segment,
    params: Params,
    headers: HeaderMap,
    known: Option<Extension<Known>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    edge.config.allowed_origins.check(&headers)?;
    let (wanted, proof) = arrive(&edge, &session, &params, &headers, known.as_deref()).await?;
    let tenant = match &proof {
        Some((_, caller)) => Some(wanted.check(&edge, caller).await?.0),
        None => None,
    };
    let upgrade = upgrade.map_err(|rejection| not_a_socket(&rejection))?;
    let place = tenant.map_or_else(|| edge.sockets.knock(), |tenant| edge.sockets.enter(&tenant));
    let mut place = place.map_err(Failure::from)?;
    if let Some((_, caller)) = &proof {
        place.count(lease(&edge, &wanted, caller).await?);
    }
    let most = edge.config.max_message_bytes;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(most)
        .max_frame_size(most);
    // In a box: what runs a socket holds whatever it is given as long as it lives.
    let visitor = Box::new(Visitor { wanted, proof: proof.map(|(proof, _)| proof) });
    Ok(upgrade.on_upgrade(move |socket| session::run(edge, socket, visitor, place)))
}

/// Reads what is wanted and proves who wants it, as far as they present anything: a credential before anything else is looked
/// at, a ticket as soon as it is known whose it may be.
async fn arrive(
    edge: &Edge,
    session: &str,
    params: &Params,
    headers: &HeaderMap,
    known: Option<&Known>,
) -> Result<(Wanted, Option<(Proof, Caller)>), Failure> {
    let credential = Credential::find_on_upgrade(headers)?;
    let proved = match credential {
        Some(credential) => {
            let caller = edge.resolve(&credential).await?;
            if let Some(known) = known {
                known.tell(&caller);
            }
            Some((Proof::Credential(credential), caller))
        }
        None => None,
    };
    let ticket = wanted::ticket(params)?;
    if proved.is_some() && ticket.is_some() {
        let text = "a ticket and another credential were presented; send one of them";
        return Err(Failure::new(&reason::CREDENTIAL_INVALID, text).field("ticket"));
    }
    let wanted = Wanted::parse(session, params, headers)?;
    let (Some(ticket), Some(tenant)) = (ticket, wanted.tenant()) else { return Ok((wanted, proved)) };
    let caller = tickets::redeem(edge, tenant, &wanted.session, &ticket).await?;
    let until = Instant::now() + edge.proof;
    let proof = Proof::Ticket { caller: Arc::new(caller.clone()), until };
    Ok((wanted, Some((proof, caller))))
}

fn not_a_socket(rejection: &WebSocketUpgradeRejection) -> Failure {
    tracing::debug!(%rejection, "not an upgrade");
    Failure::new(&reason::INVALID_REQUEST, "this address takes WebSocket upgrades only").field("Upgrade")
}
