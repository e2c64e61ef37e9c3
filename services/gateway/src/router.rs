//! The routes, and what every one of them has around it.

use axum::Router;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::Redirect;
use axum::routing::get;
use fault::{Failure, reason};
use http::request::Parts;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::around::Around;
use crate::edge::Edge;
use crate::identity::recognise;
use crate::openapi::{self, Contract};
use crate::problem::Refusal;
use crate::{
    agents, asyncapi, chat, chat_tasks, collections, completions, conversations, document_list, documents, errors_page,
    events, health, metrics, public, rate_limit, socket, stats, tasks, tickets,
};

/// Makes the router.
pub(crate) fn router(edge: Edge) -> Router {
    let around = Around::new(edge.clone());
    let (documented, contract) = documented();
    documented
        // Whoever opens the address in a browser is shown what there is.
        .route("/", get(async || Redirect::temporary("/docs")))
        .route("/ws/{session_id}", get(socket::upgrade))
        .route("/asyncapi.json", get(asyncapi::document))
        .route("/errors", get(errors_page::list))
        .route("/errors/{slug}", get(errors_page::show))
        .merge(pages(contract))
        .method_not_allowed_fallback(async |State(edge): State<Edge>, request: Request| {
            recognise(&edge, request.headers(), request.extensions()).await;
            method_not_allowed()
        })
        .fallback(public::or_not_found)
        .layer(around)
        .with_state(edge)
}

/// The routes of the contract, and the document that describes them.
fn documented() -> (Router<Edge>, utoipa::openapi::OpenApi) {
    let openai = OpenApiRouter::new()
        .routes(routes!(completions::create))
        .routes(routes!(completions::models::list))
        .routes(routes!(completions::models::get));
    let routes = OpenApiRouter::with_openapi(Contract::openapi())
        .routes(routes!(chat::send))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(collections::list, collections::create))
        .routes(routes!(document_list::list, documents::upload))
        .routes(routes!(chat_tasks::status))
        .routes(routes!(chat_tasks::cancel))
        .routes(routes!(chat_tasks::health))
        .routes(routes!(metrics::chat))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::get))
        .routes(routes!(tasks::cancel))
        .routes(routes!(events::watch))
        .routes(routes!(agents::get, agents::update, agents::delete))
        .routes(routes!(collections::get))
        .routes(routes!(document_list::get))
        .routes(routes!(conversations::of_session))
        .routes(routes!(conversations::messages))
        .routes(routes!(rate_limit::status))
        .routes(routes!(rate_limit::usage))
        .routes(routes!(metrics::overview))
        .routes(routes!(metrics::queues))
        .routes(routes!(metrics::system))
        // Not remembered: a ticket is worth nothing a moment later, and stands nowhere in plain text.
        .routes(routes!(tickets::issue))
        .routes(routes!(stats::stats))
        .routes(routes!(stats::health))
        .routes(routes!(health::health))
        .routes(routes!(health::detailed))
        .merge(openai);
    let (routes, mut contract) = routes.split_for_parts();
    openapi::complete(&mut contract);
    (routes, contract)
}

/// The document alone.
#[cfg(test)]
pub(crate) fn contract() -> utoipa::openapi::OpenApi {
    documented().1
}

/// The contract to read, by people under `/docs` and by programs as `/openapi.json`.
fn pages(contract: utoipa::openapi::OpenApi) -> Router<Edge> {
    let reader = SwaggerUi::new("/docs").url("/openapi.json", contract);
    Router::new().merge(reader).layer(axum::middleware::from_fn(openapi::guarded))
}

/// The variable part of a path.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Failure::new(&reason::INVALID_REQUEST, "the path is not valid UTF-8").into()),
        }
    }
}

/// Says that there is nothing.
pub(crate) fn not_found() -> Refusal {
    Failure::new(&reason::NOT_FOUND, "there is nothing at this path").into()
}

pub(crate) fn method_not_allowed() -> Refusal {
    Failure::new(&reason::METHOD_NOT_ALLOWED, "the path does not take this method").into()
}

#[cfg(test)]
mod tests {
    use super::contract;
    use crate::idempotent::{CREATING, KEY};

    #[test]
    fn the_routes_that_may_be_sent_again_are_those_whose_contract_says_so() {
        let contract = contract();
        let contract = serde_json::to_value(contract).unwrap();
        let has_key = |path: &serde_json::Value| {
            let parameters = path["post"]["parameters"].as_array();
            parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == KEY))
        };
        let paths = contract["paths"].as_object().unwrap();
        let mut said: Vec<_> = paths.iter().filter(|(_, path)| has_key(path)).map(|(path, _)| path.as_str()).collect();
        said.sort_unstable();
        let mut done: Vec<_> = CREATING.into_iter().chain(["/{tenant_slug}/{slug}"]).collect();
        done.sort_unstable();
        assert_eq!(said, done);
    }
}
