//! `GET /ws/{session_id}`: who may open a socket. Whatever can be refused is refused before the upgrade, as a problem.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use fault::{Failure, reason};
use http::HeaderMap;

use super::greet::Visitor;
use super::session;
use super::wanted::Wanted;
use crate::credential::Credential;
use crate::edge::Edge;
use crate::problem::Refusal;
use crate::router::Segment;

/// The subprotocol that is spoken.
const PROTOCOL: &str = "nooble.v1";

/// tungstenite's 128 KiB would be most of what an idle socket costs.
const READ_BUFFER: usize = 4 * 1024;

/// Handles the route: identity, parameters, assertions, places, upgrade.
pub(crate) async fn upgrade(
    State(edge): State<Edge>,
    Segment(session): Segment,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    edge.config.allowed_origins.check(&headers)?;
    let credential = Credential::find_on_upgrade(&headers)?;
    let caller = match &credential {
        Some(credential) => Some(edge.resolve(credential).await?),
        None => None,
    };
    let wanted = Wanted::parse(&session, query.as_deref(), &headers)?;
    let tenant = match &caller {
        Some(caller) => Some(wanted.check(&edge, caller).await?.0),
        None => None,
    };
    let upgrade = upgrade.map_err(|rejection| not_a_socket(&rejection))?;
    let place = tenant.map_or_else(|| edge.sockets.knock(), |tenant| edge.sockets.enter(&tenant));
    let place = place.map_err(Failure::from)?;
    let most = edge.config.max_message_bytes;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(most)
        .max_frame_size(most);
    let visitor = Visitor { wanted, credential };
    Ok(upgrade.on_upgrade(move |socket| session::run(edge, socket, visitor, place)))
}

fn not_a_socket(rejection: &WebSocketUpgradeRejection) -> Failure {
    tracing::debug!(%rejection, "not an upgrade");
    Failure::new(&reason::INVALID_REQUEST, "this address takes WebSocket upgrades only").field("Upgrade")
}
