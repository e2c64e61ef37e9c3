//! What a request with an `Idempotency-Key` makes: under an id that is the same every time that the request is sent.

use action::TaskId;
use axum::Extension;
use fault::Failure;
use http::Extensions;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::agents::named;

/// The id for what a request makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeId(pub(crate) Uuid);

/// Marks a request that was let in before under its id: what it made is shown again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeBefore;

/// The task that a message becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTask {
    pub(crate) id: TaskId,
    /// Whether the message may have been let in before, and its answer been lost.
    pub(crate) repeats: bool,
    /// Whether it was let in for sure: what came of it is shown again.
    pub(crate) answered: bool,
}

impl NewTask {
    /// A task that nobody knows of.
    pub(crate) fn unheard_of() -> Self {
        Self { id: TaskId::new(), repeats: false, answered: false }
    }

    /// The task of a request, which is the same whenever that is sent again.
    pub(crate) fn of(request: &Extensions) -> Self {
        let answered = request.get::<MadeBefore>().is_some();
        let made = request.get::<MadeId>();
        made.map_or_else(Self::unheard_of, |MadeId(id)| Self { id: (*id).into(), repeats: true, answered })
    }
}

impl MadeId {
    /// Takes the place of an id that the caller left out. Tells whether it did.
    pub(crate) fn fill(made: Option<Extension<Self>>, id: &mut String) -> bool {
        let Some(Extension(Self(own))) = made.filter(|_| id.is_empty()) else { return false };
        *id = own.to_string();
        true
    }
}

/// Returns what was created; with an id of the request's own, what an earlier run has made under it, whose answer nobody saw.
pub(crate) async fn created<T>(
    created: Result<T, Status>,
    own: bool,
    find: impl Future<Output = Result<T, Status>>,
) -> Result<T, Failure> {
    match created {
        Err(status) if own && status.code() == Code::AlreadyExists => find.await.map_err(|_| named(&status)),
        created => created.map_err(|status| named(&status)),
    }
}
