//! The REST contract as OpenAPI 3.1, made from the code, and pages to read it.

mod grammar;

use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToResponse, ToSchema};

/// A refusal, as RFC 9457 describes it.
#[derive(Debug, Serialize, ToSchema, ToResponse)]
#[response(
    description = "Refused; `reason` says why and `type` leads to what to check",
    content_type = "application/problem+json"
)]
pub(crate) struct ProblemView {
    /// `/errors/{slug}`, where the problem is explained.
    #[serde(rename = "type")]
    kind: String,
    /// Short summary, the same for every occurrence.
    title: String,
    /// HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// Stable machine name.
    reason: String,
    /// Header, parameter or field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Seconds after which it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Trace of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// The document, before the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nooble",
        description = "Agents for many tenants. Every request proves who sends it with `Authorization: Bearer` or \
                       `X-API-Key`; what else a request says about its tenant must agree with that. Answers carry \
                       `RateLimit`, `RateLimit-Policy`, `X-Request-Id` and `traceresponse`.",
    ),
    paths(crate::public::describe, crate::public::ask),
    components(schemas(ProblemView, OpenAiErrorView), responses(ProblemView, OpenAiErrorView)),
    modifiers(&Credentials),
    security(("bearer" = []), ("api_key" = [])),
    tags(
        (name = "chat", description = "Messages to agents"),
        (name = "tasks", description = "What became of them"),
        (name = "agents", description = "Agents of the tenant"),
        (name = "collections", description = "Collections of the tenant"),
        (name = "documents", description = "What agents read"),
        (name = "conversations", description = "What was said"),
        (name = "limits", description = "Limits and usage"),
        (name = "operation", description = "How the system is"),
        (name = "openai", description = "For clients that know OpenAI's API"),
        (name = "public", description = "Agents that anybody may talk to"),
    ),
)]
pub(crate) struct Contract;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, contract: &mut utoipa::openapi::OpenApi) {
        let components = contract.components.get_or_insert_default();
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key, or a JWT")).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
    }
}

/// A refusal, as clients of OpenAI's API look for it.
#[derive(Debug, Serialize, ToSchema, ToResponse)]
#[response(description = "Refused; `error` says why", content_type = "application/json")]
pub(crate) struct OpenAiErrorView {
    error: OpenAiErrorBody,
}

/// Why something was refused, in OpenAI's words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiErrorBody {
    message: String,
    #[serde(rename = "type")]
    kind: String,
    /// Field at fault.
    param: Option<String>,
    /// Stable machine name.
    code: String,
}

/// Says of every parameter what it looks like, and of every answer what it is, where its route has no more to say than its status.
pub(crate) fn complete(contract: &mut utoipa::openapi::OpenApi) {
    let schemas = contract.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    schemas.for_each(grammar::without_empty_defaults);
    for (path, item) in &mut contract.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.parameters.iter_mut().flatten().for_each(|parameter| grammar::tell(path, parameter));
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    meaning(status).clone_into(&mut response.description);
                }
            }
        }
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "201" => "It was made",
        "202" => "It was accepted, and is worked on",
        "503" => "Something does not work at the moment",
        _ => "What was asked for",
    }
}

/// What a page of documentation may load: its own files, and the styles in it.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// Keeps the pages of documentation to themselves.
pub(crate) async fn guarded(request: axum::extract::Request, next: axum::middleware::Next) -> axum::response::Response {
    let mut response = next.run(request).await;
    if response.status() == http::StatusCode::NOT_FOUND {
        return axum::response::IntoResponse::into_response(crate::router::not_found());
    }
    let guard = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    ];
    response.headers_mut().extend(guard);
    response
}
