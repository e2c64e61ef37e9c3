//! The catalogue of reasons. Append only: an id or slug that was published keeps its meaning.

use crate::Code;

/// Why something failed, in the words that callers may rely on.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable machine name, `google.rpc.ErrorInfo.reason`.
    pub id: &'static str,
    /// Stable last segment of the problem's `type`.
    pub slug: &'static str,
    /// Short summary in the product's words, the problem's `title`.
    pub title: &'static str,
    /// Kind of failure, which gives the gRPC code.
    pub code: Code,
    /// HTTP status.
    pub http: u16,
    /// What the caller should check, shown on the page of the problem type.
    pub check: &'static str,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $id:ident = $slug:literal, $title:literal, $code:ident, $http:literal, $check:literal;)*) => {
        $($(#[$doc])* #[doc = ""] #[doc = $check]
        pub static $id: Reason = Reason {
            id: stringify!($id), slug: $slug, title: $title, code: Code::$code, http: $http, check: $check,
        };)*

        /// Every reason there is, in the order of the catalogue.
        pub static ALL: &[&Reason] = &[$(&$id),*];
    };
}

reasons! {
    /// The request is malformed in a way no other reason names.
    INVALID_REQUEST = "invalid-request", "Invalid request", InvalidArgument, 400,
        "Compare the request with the API reference; `detail` says what is wrong and `field` where.";
    /// A field of the body or of the message is missing or out of bounds.
    INVALID_FIELD = "invalid-field", "Invalid field", InvalidArgument, 422,
        "The field named in `field` is missing, empty, too long or out of range; `detail` gives the bound.";
    /// The body is not valid JSON.
    INVALID_JSON = "invalid-json", "Invalid JSON", InvalidArgument, 400,
        "Send a JSON object with Content-Type: application/json; `detail` gives the line and column of the mistake.";
    /// One or more of the required headers are absent.
    MISSING_REQUIRED_HEADERS = "missing-required-headers", "Missing required headers", InvalidArgument, 422,
        "Send X-Tenant-ID, X-Agent-ID, X-Tenant-Tier and X-Session-ID; `field` names what is missing.";
    /// A header stands more than once.
    DUPLICATE_HEADER = "duplicate-header", "Duplicate header", InvalidArgument, 400,
        "Send each X- header once; a proxy may be adding its own copy.";
    /// A header has a value outside its grammar.
    INVALID_HEADER = "invalid-header", "Invalid header", InvalidArgument, 400,
        "Identifiers are 3 to 64 characters out of A-Z a-z 0-9 _ and -.";
    /// The tier is none of the four.
    INVALID_TIER = "invalid-tier", "Invalid tier", InvalidArgument, 400,
        "The tier is one of free, advance, professional, enterprise.";
    /// The context type is unknown, or needs a header that is absent.
    INVALID_CONTEXT_TYPE = "invalid-context-type", "Invalid context type", InvalidArgument, 400,
        "X-Context-Type is agent, workflow or collection; collection needs X-Collection-ID.";
    /// Workflows are part of the contract and not served by this version.
    CONTEXT_TYPE_UNAVAILABLE = "context-type-unavailable", "Context type not available", FailedPrecondition, 422,
        "Workflow contexts are not served by this version; use agent or collection.";
    /// A queue name does not parse or belongs to someone else.
    INVALID_QUEUE_NAME = "invalid-queue-name", "Invalid queue name", InvalidArgument, 400,
        "Queues are {domain}:{context_id}:{tier}; callbacks go to {domain}:{tenant_id}:callbacks of your own tenant.";
    /// No credential was sent.
    CREDENTIAL_REQUIRED = "credential-required", "Credential required", Unauthenticated, 401,
        "Send `Authorization: Bearer <key or token>` or `X-API-Key: <key>`.";
    /// The credential is malformed, unknown, expired or revoked.
    CREDENTIAL_INVALID = "credential-invalid", "Credential not accepted", Unauthenticated, 401,
        "The key is unknown or revoked, or the token is not one of an accepted issuer; `detail` says what is wrong with a token.";
    /// Identity metadata was sent without a valid signature of the mesh.
    IDENTITY_FORGED = "identity-forged", "Identity not accepted", Unauthenticated, 401,
        "x-nooble-identity is reserved for calls between services; present your own key instead.";
    /// The time of the credential is over.
    CREDENTIAL_EXPIRED = "credential-expired", "Credential expired", Unauthenticated, 401,
        "Get a new token from whoever issued this one, or a new key from your administrator.";
    /// What was asserted about the tenant is not what was proved.
    TENANT_MISMATCH = "tenant-mismatch", "Tenant mismatch", PermissionDenied, 403,
        "X-Tenant-ID must be the tenant that the credential belongs to.";
    /// The asserted tier is not the tenant's.
    TIER_MISMATCH = "tier-mismatch", "Tier mismatch", PermissionDenied, 403,
        "X-Tenant-Tier must be the tier in the tenant's record, which alone decides.";
    /// The credential lacks the scope that the call needs.
    SCOPE_REQUIRED = "scope-required", "Scope required", PermissionDenied, 403,
        "The call needs a credential with the scope named in `detail`.";
    /// The tenant may not use this agent, or it does not exist: both look the same from outside.
    ACCESS_DENIED = "access-denied", "Access denied", PermissionDenied, 403,
        "The tenant has no agent with this id, or it is not active.";
    /// A page of another origin wants what only allowed ones may.
    ORIGIN_NOT_ALLOWED = "origin-not-allowed", "Origin not allowed", PermissionDenied, 403,
        "Open the socket from a page of the same host, or have its origin added to GATEWAY_ALLOWED_ORIGINS.";
    /// The tenant itself is suspended.
    TENANT_INACTIVE = "tenant-inactive", "Tenant not active", PermissionDenied, 403,
        "The tenant is suspended; ask your administrator.";
    /// No such thing for this caller.
    NOT_FOUND = "not-found", "Not found", NotFound, 404,
        "The id is wrong, or it belongs to someone else, or its record has expired.";
    /// No such task for this tenant.
    TASK_NOT_FOUND = "task-not-found", "Task not found", NotFound, 404,
        "The task id is wrong, belongs to another tenant, or its record has expired.";
    /// No such agent for this tenant.
    AGENT_NOT_FOUND = "agent-not-found", "Agent not found", NotFound, 404,
        "The tenant has no agent with this id.";
    /// No such collection for this tenant.
    COLLECTION_NOT_FOUND = "collection-not-found", "Collection not found", NotFound, 404,
        "The tenant has no collection with this id.";
    /// The domain or queue does not exist.
    QUEUE_NOT_FOUND = "queue-not-found", "Queue not found", NotFound, 404,
        "Check the format of the queue name and that the domain is one of the product's.";
    /// The context could not be resolved to an agent or collection.
    CONTEXT_NOT_RESOLVED = "context-not-resolved", "Context not resolved", NotFound, 404,
        "The agent or collection that the context names does not exist for this tenant.";
    /// The method is not allowed on this path.
    METHOD_NOT_ALLOWED = "method-not-allowed", "Method not allowed", Unimplemented, 405,
        "The path exists and does not take this method.";
    /// The thing exists already.
    ALREADY_EXISTS = "already-exists", "Already exists", Conflict, 409,
        "Something with this id or name exists already for the tenant.";
    /// A request with the same idempotency key is being worked on.
    IDEMPOTENCY_IN_FLIGHT = "idempotency-in-flight", "Request in progress", Conflict, 409,
        "A request with this Idempotency-Key is still being worked on; send it again after Retry-After seconds.";
    /// The idempotency key belongs to another request.
    IDEMPOTENCY_MISMATCH = "idempotency-mismatch", "Idempotency key reused", FailedPrecondition, 422,
        "The Idempotency-Key was used for a request with another body; choose a new key for a new request.";
    /// The task has ended and cannot change any more.
    TASK_FINISHED = "task-finished", "Task already finished", FailedPrecondition, 409,
        "The task has ended; read its result instead.";
    /// The body is larger than the route or the tier allows.
    BODY_TOO_LARGE = "body-too-large", "Body too large", InvalidArgument, 413,
        "JSON bodies are at most 256 KiB; documents at most 5, 10, 50 or 100 MB by tier.";
    /// The line and headers of a request are larger than any request needs.
    HEADERS_TOO_LARGE = "headers-too-large", "Headers too large", InvalidArgument, 431,
        "A request has at most 64 header fields, and 16 KiB before its body.";
    /// The type of the document is not one that can be read.
    UNSUPPORTED_DOCUMENT_TYPE = "unsupported-document-type", "Unsupported document type", InvalidArgument, 415,
        "Send text, Markdown, HTML or PDF.";
    /// The document is encrypted.
    DOCUMENT_ENCRYPTED = "document-encrypted", "Document is encrypted", InvalidArgument, 422,
        "Remove the password and upload again.";
    /// The document cannot be read as what it claims to be.
    DOCUMENT_UNREADABLE = "document-unreadable", "Document cannot be read", InvalidArgument, 422,
        "The file is damaged or is not of the type it claims to be.";
    /// The document holds no text.
    DOCUMENT_EMPTY = "document-empty", "Document is empty", InvalidArgument, 422,
        "No text was found; a scanned PDF needs OCR first.";
    /// The document gives more chunks than the tier allows.
    DOCUMENT_TOO_LONG = "document-too-long", "Document too long", InvalidArgument, 422,
        "Split the document, or move to a tier with a higher limit of chunks per document.";
    /// The payload of an action is larger than the queue takes.
    PAYLOAD_TOO_LARGE = "payload-too-large", "Payload too large", InvalidArgument, 413,
        "An action's payload is at most 256 KiB; put larger things into the object store.";
    /// The action type is not in the catalogue.
    UNKNOWN_ACTION_TYPE = "unknown-action-type", "Unknown action type", InvalidArgument, 400,
        "Action types have two segments, {domain}.{action}, and are listed in the catalogue.";
    /// The payload is not the one that the action type takes.
    PAYLOAD_MISMATCH = "payload-mismatch", "Payload does not fit the action", InvalidArgument, 400,
        "The type of the Any must be the catalogue's for this action type.";
    /// The tenant has as many of a thing as its tier allows.
    TIER_LIMIT_REACHED = "tier-limit-reached", "Limit of the tier reached", FailedPrecondition, 403,
        "Delete one, or move to a tier with a higher limit; `limit` says how many the tier allows.";
    /// The tenant used up a request window.
    RATE_LIMIT_EXCEEDED = "rate-limit-exceeded", "Rate limit exceeded", ResourceExhausted, 429,
        "Wait for Retry-After seconds; the limits of the tier are in the documentation.";
    /// The process holds as many calls or sockets as it takes.
    OVERLOADED = "overloaded", "Overloaded", ResourceExhausted, 503,
        "Try again after Retry-After seconds.";
    /// A queue, a tenant or a tier holds as many waiting actions as it may.
    QUEUE_FULL = "queue-full", "Queue full", ResourceExhausted, 429,
        "Wait for Retry-After seconds, until some of what waits has been done; nothing of the request was kept.";
    /// A tenant or a user has as many sockets open as it may.
    CONNECTION_LIMIT = "connection-limit", "Too many connections", ResourceExhausted, 429,
        "Close sockets that are not needed, or move to a tier with a higher limit; `limit` says how many there may be, `scope` \
         whether of the tenant or of the user.";
    /// The time allowed for the work ran out.
    EXECUTION_TIMEOUT = "execution-timeout", "Execution timeout", DeadlineExceeded, 504,
        "The work did not finish within the time of the tier; ask for less at once or move to a higher tier.";
    /// The action waited longer than its time to live.
    QUEUE_TIMEOUT = "queue-timeout", "Expired while waiting", DeadlineExceeded, 504,
        "No worker took the action in time; check that workers of the domain are running.";
    /// A caller's deadline ran out.
    DEADLINE_EXCEEDED = "deadline-exceeded", "Deadline exceeded", DeadlineExceeded, 504,
        "Give the call more time, or submit and watch the task instead of waiting.";
    /// The work was cancelled.
    CANCELLED = "cancelled", "Cancelled", Cancelled, 409,
        "The task was cancelled.";
    /// The message broker is away.
    BROKER_UNAVAILABLE = "broker-unavailable", "Service unavailable", Unavailable, 503,
        "The broker is away; try again after Retry-After seconds.";
    /// Another dependency or service is away.
    UNAVAILABLE = "unavailable", "Service unavailable", Unavailable, 503,
        "A part of the system is away; try again after Retry-After seconds.";
    /// The process is shutting down.
    DRAINING = "draining", "Shutting down", Unavailable, 503,
        "This process is being replaced; try again, another one will answer.";
    /// The model provider is away or refuses for now.
    PROVIDER_UNAVAILABLE = "provider-unavailable", "Model provider unavailable", Unavailable, 503,
        "The model provider did not answer or asked to slow down; the work was retried before this was said.";
    /// The model provider refused the request for good.
    PROVIDER_REJECTED = "provider-rejected", "Model provider rejected the request", FailedPrecondition, 502,
        "Check the model's name, the key and the base URL of the provider.";
    /// The model provider's answer broke off or made no sense.
    PROVIDER_BROKEN = "provider-broken", "Model provider answered badly", Unavailable, 502,
        "The provider's stream broke off or was not understood; the work was retried before this was said.";
    /// Handling the work crashed its worker too often.
    POISONED = "poisoned", "Work given up", Internal, 500,
        "Handling this action ended its worker repeatedly; it was kept in the dead letters.";
    /// The contract names it and this version does not do it.
    UNIMPLEMENTED = "unimplemented", "Not implemented", Unimplemented, 501,
        "This version does not offer the call yet.";
    /// A defect on our side.
    INTERNAL = "internal", "Internal error", Internal, 500,
        "Something went wrong on our side; give the trace id to your administrator.";
}

/// Finds a reason by its machine name.
pub fn find(id: &str) -> Option<&'static Reason> {
    ALL.iter().copied().find(|reason| reason.id == id)
}

/// Finds a reason by the slug of its problem type.
pub fn find_slug(slug: &str) -> Option<&'static Reason> {
    ALL.iter().copied().find(|reason| reason.slug == slug)
}

/// Returns the reason that stands for a kind of failure when nothing more is known.
pub fn general(code: Code) -> &'static Reason {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => &INVALID_REQUEST,
        Code::Unauthenticated => &CREDENTIAL_INVALID,
        Code::PermissionDenied => &ACCESS_DENIED,
        Code::NotFound => &NOT_FOUND,
        Code::Conflict => &ALREADY_EXISTS,
        Code::ResourceExhausted => &OVERLOADED,
        Code::DeadlineExceeded => &DEADLINE_EXCEEDED,
        Code::Cancelled => &CANCELLED,
        Code::Unavailable => &UNAVAILABLE,
        Code::Unimplemented => &UNIMPLEMENTED,
        Code::Internal => &INTERNAL,
    }
}
