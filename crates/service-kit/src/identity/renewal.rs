//! Streams of callers from outside end after a while: a key that was revoked, or a tenant that was suspended, is noticed
//! when the caller comes back.

use std::time::{Duration, SystemTime};

use fault::{Failure, reason};
use futures::stream::{self, BoxStream, StreamExt as _};
use tonic::Status;

use super::Caller;
use super::caller::expired;

/// How long a proof is good for a stream.
pub(crate) const PROOF: Duration = Duration::from_mins(10);

/// Lets a stream to a caller from outside last for `proof`, then ends it with `DRAINING`, whose meaning is to come again; or
/// for as long as its credential, if that is shorter, then with `CREDENTIAL_EXPIRED`. Services of the mesh are not asked again.
pub fn while_proved<T: Send + 'static>(
    caller: &Caller,
    proof: Duration,
    answers: BoxStream<'static, Result<T, Status>>,
) -> BoxStream<'static, Result<T, Status>> {
    if !caller.is_outside() {
        return answers;
    }
    let left = caller.lasts(SystemTime::now()).filter(|left| *left < proof);
    let end = Box::pin(tokio::time::sleep(left.unwrap_or(proof)));
    let next = move |state| async move {
        let (mut answers, mut end): (BoxStream<'static, _>, _) = state?;
        tokio::select! {
            biased;
            () = &mut end => Some((Err(if left.is_some() { expired() } else { ended() }.into()), None)),
            answer = answers.next() => answer.map(|answer| (answer, Some((answers, end)))),
        }
    };
    stream::unfold(Some((answers, end)), next).boxed()
}

fn ended() -> Failure {
    let text = "the stream has lasted as long as one proof of identity allows; open it again";
    Failure::new(&reason::DRAINING, text).retry_after(Duration::from_secs(1))
}
