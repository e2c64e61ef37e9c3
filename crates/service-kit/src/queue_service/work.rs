//! `Work`: leases actions to workers that are not part of this process.
//!
//! # What always holds
//!
//! * Streams of one domain share one [`queue::Lender`]: connections to Redis do not grow with streams.
//! * A stream whose worker may not work any more, because its key was revoked, ends soon after that with the reason.
//! * A stream that ends in order (its worker closed its side, or was told to go elsewhere) gives back what it holds without
//!   an attempt being counted. One that ends in any other way counts a crash for what was sent to it, and only for that.

mod desk;
mod read;
mod seat;
mod stream;

use std::time::Duration;

use fault::Failure;
use futures::stream::{BoxStream, StreamExt as _, poll_fn};
use proto::queue::v1 as wire;
use tonic::{Request, Response, Status, Streaming};

use super::QueueFacade;
use crate::identity::Standing;
pub(crate) use desk::Desks;

/// What a worker is told.
pub(super) type Answers = BoxStream<'static, Result<wire::WorkResponse, Status>>;

/// How long a worker may say nothing.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);

/// Answers that wait for the transport. Slow readers wait with theirs in the stream's own backlog.
const SENDING: usize = 16;

impl QueueFacade {
    /// Opens the stream of a worker.
    pub(super) fn open(&self, request: Request<Streaming<wire::WorkRequest>>) -> Result<Response<Answers>, Failure> {
        let standing = Standing::of(&request)?;
        let (out, mut answers) = tokio::sync::mpsc::channel(SENDING);
        self.desks.serve(standing, request.into_inner(), out);
        let answers = poll_fn(move |cx| answers.poll_recv(cx)).map(stream::Answer::deliver);
        Ok(Response::new(answers.boxed()))
    }
}
