//! `GET /errors/{slug}`: what a problem means and what to check, the address in every problem's `type`.

use axum::Json;
use axum::response::{Html, IntoResponse, Response};
use fault::{Failure, Reason, reason};
use http::{HeaderMap, header};
use serde::Serialize;

use crate::problem::Refusal;
use crate::router::Segment;

/// A problem type, for programs.
#[derive(Debug, Serialize)]
struct ReasonView {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    reason: &'static str,
    grpc_status: &'static str,
    check: &'static str,
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        Self {
            kind: format!("/errors/{}", reason.slug),
            title: reason.title,
            status: reason.http,
            reason: reason.id,
            grpc_status: reason.code.grpc().description(),
            check: reason.check,
        }
    }
}

/// Handles `GET /errors`: every problem type there is.
pub(crate) async fn list(headers: HeaderMap) -> Response {
    if wants_json(&headers) {
        return Json(reason::ALL.iter().map(|reason| ReasonView::from(*reason)).collect::<Vec<_>>()).into_response();
    }
    let item = |reason: &&Reason| {
        format!("<li><a href=\"/errors/{}\">{}</a> ({})</li>", reason.slug, escape(reason.title), reason.http)
    };
    let items: Vec<_> = reason::ALL.iter().map(item).collect();
    Html(page("Problems", &format!("<ul>\n{}\n</ul>", items.join("\n")))).into_response()
}

/// Handles `GET /errors/{slug}`, as a page, or as JSON for those who accept that.
pub(crate) async fn show(Segment(slug): Segment, headers: HeaderMap) -> Result<Response, Refusal> {
    let reason = reason::find_slug(&slug)
        .ok_or_else(|| Failure::new(&reason::NOT_FOUND, "there is no problem type of this name; /errors lists all"))?;
    if wants_json(&headers) {
        return Ok(Json(ReasonView::from(reason)).into_response());
    }
    let text = format!(
        "<dl>\n<dt>HTTP status</dt><dd>{}</dd>\n<dt>Reason</dt><dd><code>{}</code></dd>\n<dt>gRPC status</dt><dd>{}</dd>\n\
         <dt>What to check</dt><dd>{}</dd>\n</dl>\n<p><a href=\"/errors\">All problems</a></p>",
        reason.http,
        reason.id,
        escape(reason.code.grpc().description()),
        escape(reason.check),
    );
    Ok(Html(page(reason.title, &text)).into_response())
}

/// Tells whether JSON is accepted rather than HTML. Programs that accept anything get the page, as browsers do.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.contains("json") && !accepted.contains("text/html")
}

fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
