//! `GET /ws/{session_id}`: who may open a socket. Whatever can be refused is refused before the upgrade, as a problem.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use fault::{Failure, reason};
use http::HeaderMap;
use service_kit::Caller;

use super::greet::Visitor;
use super::proof::Proof;
use super::seat::lease;
use super::session;
use super::wanted::{self, Wanted};
use crate::client::ClientAddress;
use crate::credential::Credential;
use crate::edge::Edge;
use crate::identity::Known;
use crate::params::Params;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::tickets::{self, Holder};

/// The subprotocol that is spoken.
const PROTOCOL: &str = "nooble.v1";

/// tungstenite's 128 KiB would be most of what an idle socket costs.
const READ_BUFFER: usize = 1024;

/// Handles the route: identity, parameters, assertions, places, upgrade. A client that cannot read why its upgrade was refused may
/// ask the same without one: it is answered as the upgrade would be, up to the last step, and its ticket is still good.
pub(crate) async fn upgrade(
    State(edge): State<Edge>,
    Segment(session): Segment,
    params: Params,
    headers: HeaderMap,
    known: Option<Extension<Known>>,
    Extension(ClientAddress(from)): Extension<ClientAddress>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    edge.config.allowed_origins.check(&headers)?;
    let Arrival { wanted, proved, ticket } = arrive(&edge, &session, &params, &headers, known.as_deref()).await?;
    let tenant = match &proved {
        Some((_, caller)) => Some(wanted.check(&edge, caller).await?.0),
        None => None,
    };
    let place = tenant.as_ref().map_or_else(|| edge.sockets.knock(from), |tenant| edge.sockets.enter(tenant));
    let mut place = place.map_err(|full| full.of("sockets"))?;
    if let Some((_, caller)) = &proved {
        place.count(lease(&edge, &wanted, caller).await?);
    }
    let upgrade = upgrade.map_err(|rejection| not_a_socket(&rejection))?;
    if let (Some(ticket), Some(tenant)) = (&ticket, &tenant) {
        tickets::take(&edge, tenant, ticket).await?;
    }
    let most = edge.config.max_message_bytes;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(most)
        .max_frame_size(most);
    // In a box: what runs a socket holds whatever it is given as long as it lives.
    let visitor = Box::new(Visitor { wanted, proof: proved.map(|(proof, _)| proof) });
    Ok(upgrade.on_upgrade(move |socket| session::run(edge, socket, visitor, place)))
}

/// Who comes, and what they want.
struct Arrival {
    wanted: Wanted,
    /// What was presented, as far as anything was, and whom it belongs to.
    proved: Option<(Proof, Caller)>,
    /// What stands for it, to be taken when nothing stands against it any more.
    ticket: Option<Credential>,
}

/// Reads what is wanted and proves who wants it: a credential before anything else is looked at, a ticket as soon as it is known whose
/// it may be.
async fn arrive(
    edge: &Edge,
    session: &str,
    params: &Params,
    headers: &HeaderMap,
    known: Option<&Known>,
) -> Result<Arrival, Failure> {
    let proved = match Credential::find_on_upgrade(headers)? {
        Some(credential) => {
            let caller = edge.resolve(&credential).await?;
            tell(known, &caller);
            Some((Proof::by(credential, None), caller))
        }
        None => None,
    };
    let ticket = wanted::ticket(params)?;
    if proved.is_some() && ticket.is_some() {
        let text = "a ticket and another credential were presented; send one of them";
        return Err(Failure::new(&reason::CREDENTIAL_INVALID, text).field("ticket"));
    }
    let mut wanted = Wanted::parse(session, params, headers)?;
    let (Some(ticket), Some(tenant)) = (ticket, wanted.tenant()) else {
        return Ok(Arrival { wanted, proved, ticket: None });
    };
    let Holder { credential, user, caller } = tickets::look(edge, tenant, &wanted.session, &ticket).await?;
    tell(known, &caller);
    wanted.user = caller.assert_user(wanted.user.take(), "user_id")?;
    Ok(Arrival { wanted, proved: Some((Proof::by(credential, user), caller)), ticket: Some(ticket) })
}

/// Lets the answer say how the limits of a caller stand.
fn tell(known: Option<&Known>, caller: &Caller) {
    if let Some(known) = known {
        known.tell(caller);
    }
}

fn not_a_socket(rejection: &WebSocketUpgradeRejection) -> Failure {
    tracing::debug!(%rejection, "not an upgrade");
    Failure::new(&reason::INVALID_REQUEST, "this address takes WebSocket upgrades only").field("Upgrade")
}
