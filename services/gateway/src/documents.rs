//! `POST /api/v1/documents`: a file on its way to ingestion, part by part, never held whole.
//!
//! Fields come before the file, because the file is passed on while it arrives: `collection_id` (or `X-Collection-ID`),
//! `title`, `document_id`, `session_id` (or `X-Session-ID`), then `file`.

use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fault::{Failure, reason};
use http::{HeaderMap, StatusCode};
use proto::ingestion::v1::DocumentHeader;
use service_kit::Caller;

use crate::edge::Edge;
use crate::headers::{self, name};
use crate::identity::Proved;
use crate::made::MadeId;
use crate::openapi::ProblemView;
use crate::params::GRAMMAR;
use crate::problem::Refusal;
use crate::upload::Upload;
use crate::view::DocumentView;
use crate::{body, limits};

/// What boundaries, part headers and fields may add to the file.
const OVERHEAD: u64 = 64 * 1024;
const MAX_FIELD: usize = 2048;
const MAX_TITLE: usize = 300;
/// Time to read what is left of a refused upload.
const DISCARD: Duration = Duration::from_secs(3);

/// A document on its way in.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "the contract's picture of a body that is read while it arrives")]
pub(crate) struct UploadBody {
    /// Collection that it goes to; or `X-Collection-ID`.
    collection_id: Option<String>,
    /// Title that sources show; the file's name when absent.
    title: Option<String>,
    /// Identifier to use, so that a document can be replaced; made when absent.
    document_id: Option<String>,
    /// Session that shows the progress; or `X-Session-ID`.
    session_id: Option<String>,
    /// The document, after all other fields: text, Markdown, HTML or PDF.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Takes a document in; its task processes it.
///
/// Identity, assertions, headers and limits are looked at first, then the parts as they arrive.
#[utoipa::path(
    post, path = "/api/v1/documents", tag = "documents", operation_id = "uploadDocument",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes sending it again safe")),
    request_body(content = UploadBody, content_type = "multipart/form-data"),
    responses((status = 202, body = DocumentView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn upload(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    made: Option<Extension<MadeId>>,
    headers: HeaderMap,
    mut request: Request,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let mut fields = Fields::of_headers(&headers)?;
    fields.task = made.map(|Extension(MadeId(id))| id.to_string());
    let (_, tier) = caller.tenant()?;
    let most = edge.quota.tiers().of(tier).max_document_bytes;
    if body::announced(&headers).is_some_and(|length| length > most + OVERHEAD) {
        body::discard(&mut request.into_body().into_data_stream()).await;
        return Err(too_large(most).into());
    }
    limits::look(&edge, &caller).await?;
    // What is too large is said by what a tier may store, not by the library.
    DefaultBodyLimit::disable().apply(&mut request);
    let multipart = Multipart::from_request(request, &()).await.map_err(|_| {
        let text = "send the document as multipart/form-data with a `file` part";
        Failure::new(&reason::INVALID_REQUEST, text).field("Content-Type")
    })?;
    let receiving = receive(&edge, &caller, multipart, fields, most);
    match tokio::time::timeout(edge.config.upload_timeout, receiving).await {
        Ok(answer) => answer,
        Err(_) => Err(slow(edge.config.upload_timeout).into()),
    }
}

/// What is known about the document besides its bytes.
#[derive(Clone, Debug, Default)]
struct Fields {
    collection: Option<String>,
    title: Option<String>,
    document: Option<String>,
    session: Option<String>,
    /// Task that it becomes every time that it is sent.
    task: Option<String>,
}

impl Fields {
    fn of_headers(headers: &HeaderMap) -> Result<Self, Failure> {
        headers::unique(headers, [name::COLLECTION, name::SESSION].iter())?;
        let collection: Option<action::CollectionId> = headers::id(headers, name::COLLECTION)?;
        let session: Option<action::SessionId> = headers::id(headers, name::SESSION)?;
        Ok(Self {
            collection: collection.map(|id| id.to_string()),
            session: session.map(|id| id.to_string()),
            ..Self::default()
        })
    }

    fn set(&mut self, field: &str, text: &str) -> Result<(), Failure> {
        match field {
            "collection_id" => self.collection = Some(checked::<action::CollectionId>("collection_id", text)?),
            "document_id" => self.document = Some(checked::<action::DocumentId>("document_id", text)?),
            "session_id" => self.session = Some(checked::<action::SessionId>("session_id", text)?),
            "title" if text.chars().count() > MAX_TITLE => {
                return Err(invalid("title", &format!("has at most {MAX_TITLE} characters")));
            }
            "title" => self.title = Some(text.trim().to_owned()),
            // Forms carry fields of their own; they are none of ours.
            _ => {}
        }
        Ok(())
    }

    fn header(self, file: &Field<'_>) -> Result<DocumentHeader, Failure> {
        let missing = || invalid("collection_id", "is required, before the file or as X-Collection-ID");
        Ok(DocumentHeader {
            collection_id: self.collection.ok_or_else(missing)?,
            title: self.title.unwrap_or_default(),
            file_name: file.file_name().unwrap_or_default().chars().take(MAX_TITLE).collect(),
            media_type: file.content_type().unwrap_or_default().to_owned(),
            document_id: self.document.unwrap_or_default(),
            session_id: self.session.unwrap_or_default(),
            task_id: self.task.unwrap_or_default(),
        })
    }
}

/// Reads the parts and passes the file on. Ingestion charges the limit when it accepts, so that a refusal costs nothing.
async fn receive(
    edge: &Edge,
    caller: &Caller,
    mut multipart: Multipart,
    fields: Fields,
    most: u64,
) -> Result<Response, Refusal> {
    let received = pass_on(edge, caller, &mut multipart, fields, most).await;
    if received.is_err() {
        let _elapsed = tokio::time::timeout(DISCARD, discard(&mut multipart)).await;
    }
    received
}

async fn pass_on(
    edge: &Edge,
    caller: &Caller,
    multipart: &mut Multipart,
    mut fields: Fields,
    most: u64,
) -> Result<Response, Refusal> {
    loop {
        let Some(field) = multipart.next_field().await.map_err(|error| unreadable(&error))? else {
            return Err(invalid("file", "is required: the part with the document").into());
        };
        let part = field.name().unwrap_or_default().to_owned();
        if part != "file" {
            let text = read(field, &part).await?;
            fields.set(&part, &text)?;
            continue;
        }
        let header = fields.header(&field)?;
        let collection = header.collection_id.parse().map_err(|_| invalid("collection_id", GRAMMAR))?;
        edge.admission.access_collection(caller, &collection).await?;
        let mut upload = Upload::start(edge, caller, header);
        upload.feed(field, most).await?;
        no_more(multipart).await?;
        let answer = DocumentView::from(upload.finish().await.map_err(limits::refusal)?);
        telemetry::Span::current().record("nooble.task_id", answer.task_id());
        tracing::info!(task_id = answer.task_id(), "document accepted");
        return Ok((StatusCode::ACCEPTED, limits::now(edge, caller).await, Json(answer)).into_response());
    }
}

/// Reads the rest and throws it away, so that a client that is still sending gets to see the refusal.
async fn discard(multipart: &mut Multipart) {
    while let Ok(Some(mut field)) = multipart.next_field().await {
        while let Ok(Some(_)) = field.chunk().await {}
    }
}

/// Fields after the file came too late to matter, and must not be lost silently.
async fn no_more(multipart: &mut Multipart) -> Result<(), Failure> {
    while let Some(field) = multipart.next_field().await.map_err(|error| unreadable(&error))? {
        for name in ["file", "collection_id", "title", "document_id", "session_id"] {
            if field.name() == Some(name) {
                return Err(invalid(name, "stands after the file; send fields first and one file"));
            }
        }
    }
    Ok(())
}

async fn read(mut field: Field<'_>, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| unreadable(&error))? {
        if bytes.len() + chunk.len() > MAX_FIELD {
            return Err(Failure::new(&reason::INVALID_FIELD, "a field is too long").field(shown(name)));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(&reason::INVALID_FIELD, "a field is not UTF-8").field(shown(name)))
}

/// Names of parts are the caller's; what is echoed is short and plain.
fn shown(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
}

fn checked<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    text.parse::<T>().map_err(|_| invalid(field, GRAMMAR))?;
    Ok(text.to_owned())
}

fn invalid(field: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_FIELD, format!("`{field}` {rule}")).field(field)
}

pub(crate) fn unreadable(error: &MultipartError) -> Failure {
    tracing::debug!(%error, "multipart body not readable");
    Failure::new(&reason::INVALID_REQUEST, "the multipart body is malformed or broke off")
}

pub(crate) fn too_large(most: u64) -> Failure {
    Failure::new(&reason::BODY_TOO_LARGE, format!("a document of this tier has at most {most} bytes"))
        .field("file")
        .with("limit", most.to_string())
}

fn slow(limit: Duration) -> Failure {
    Failure::new(&reason::INVALID_REQUEST, format!("the document did not arrive within {} s", limit.as_secs()))
}
