//! Streams of callers from outside end when their callers have to prove themselves again: soon after a key was revoked, a tenant
//! suspended, or what either may do has changed; when the credential ends; and in any case after a while.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fault::{Failure, reason};
use futures::future::OptionFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Request, Status};

use super::caller::{expired, suspended};
use super::{Caller, Resolver};

/// How long a proof is good for a stream.
pub(crate) const PROOF: Duration = Duration::from_mins(10);

/// A change makes every stream of the process ask; they do so one after another within this time.
const SPREAD: Duration = Duration::from_millis(300);
/// How often is asked without a reason: while Redis is away, changes are not heard of.
const LOOK: Duration = Duration::from_secs(30);
/// Pause before asking again when nobody answers.
const PAUSE: Duration = Duration::from_secs(1);

/// Who opened a stream, and what it takes to see whether they still are who they were.
#[derive(Clone, Debug)]
pub struct Standing {
    pub(super) caller: Caller,
    /// None for a service of the mesh.
    pub(super) presented: Option<Presented>,
}

/// What a caller from outside presented; an extension of its requests. It never prints itself.
#[derive(Clone)]
pub(super) struct Presented {
    pub(super) resolver: Arc<Resolver>,
    pub(super) credential: Arc<str>,
    /// The number of changes before it was resolved.
    pub(super) stamp: u64,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Standing {
    /// Returns who sent a request. Fails with `CREDENTIAL_REQUIRED` when nobody proved anything.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Failure> {
        let presented = request.extensions().get::<Presented>().cloned();
        Caller::of(request).map(|caller| Self { caller: caller.clone(), presented })
    }

    /// Proves somebody from outside by what they presented.
    pub async fn prove(resolver: &Arc<Resolver>, credential: &str) -> Result<Self, Failure> {
        let stamp = resolver.changes().stamp_of_keys();
        let caller = resolver.resolve(credential).await?;
        let presented = Presented { resolver: Arc::clone(resolver), credential: credential.into(), stamp };
        Ok(Self { caller, presented: Some(presented) })
    }

    /// Returns who it was when the stream was opened.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Waits until a stream of the caller has to end, and says why: with `DRAINING` after `proof` or when something else than
    /// before is proved now, whose meaning is to come again; with `CREDENTIAL_EXPIRED` at the credential's end; with
    /// `CREDENTIAL_INVALID` or `TENANT_INACTIVE` soon after it was revoked or suspended. Services of the mesh are not asked again.
    pub async fn over(self, proof: Duration) -> Failure {
        if !self.caller.is_outside() {
            return std::future::pending().await;
        }
        let end = Instant::now() + proof;
        let mut expires_at = self.caller.expires_at;
        let (mut changes, mut look) = self.doubts();
        loop {
            let left = expires_at.map(|end| sleep(end.duration_since(SystemTime::now()).unwrap_or_default()));
            tokio::select! {
                biased;
                Some(()) = OptionFuture::from(left) => return expired(),
                () = sleep_until(end) => return ended("the stream has lasted as long as one proof of identity allows"),
                Some(Ok(())) = OptionFuture::from(changes.as_mut().map(watch::Receiver::changed)) => look = soon(look),
                () = sleep_until(look) => match self.again().await {
                    Ok(until) => (expires_at, look) = (until, Instant::now() + LOOK),
                    Err(failure) if is_nobodys_word(&failure) => look = Instant::now() + PAUSE,
                    Err(failure) => return failure,
                },
            }
        }
    }

    /// Waits until the caller is not let in any more: with `CREDENTIAL_INVALID` soon after the key was revoked, with
    /// `TENANT_INACTIVE` after the tenant was suspended. For an answer that cannot be opened again: it outlasts its credential.
    pub async fn revoked(self) -> Failure {
        if !self.caller.is_outside() {
            return std::future::pending().await;
        }
        let (mut changes, mut look) = self.doubts();
        loop {
            tokio::select! {
                biased;
                Some(Ok(())) = OptionFuture::from(changes.as_mut().map(watch::Receiver::changed)) => look = soon(look),
                () = sleep_until(look) => match self.again().await {
                    Err(failure) if is_for_good(&failure) => return failure,
                    Err(failure) if is_nobodys_word(&failure) => look = Instant::now() + PAUSE,
                    _ => look = Instant::now() + LOOK,
                },
            }
        }
    }

    /// Returns what tells of changes, and when to look at first: at once when something has changed already.
    fn doubts(&self) -> (Option<watch::Receiver<u64>>, Instant) {
        let now = Instant::now();
        let Some(Presented { resolver, stamp, .. }) = &self.presented else { return (None, now + LOOK) };
        let mut changes = resolver.changes().watch_keys();
        let is_old = *changes.borrow_and_update() != *stamp;
        (Some(changes), if is_old { now } else { now + LOOK })
    }

    /// Proves the caller again. Returns until when that is good, if it has an end.
    async fn again(&self) -> Result<Option<SystemTime>, Failure> {
        let Some(Presented { resolver, credential, .. }) = &self.presented else { return Ok(self.caller.expires_at) };
        // Fetching an issuer's keys takes much room, which a stream need not carry along.
        let now = Box::pin(resolver.resolve_again(credential)).await?;
        let expires_at = now.expires_at;
        if now.tenant.as_ref().is_some_and(|tenant| !tenant.active) {
            return Err(suspended());
        }
        if (Caller { expires_at: self.caller.expires_at, ..now }) == self.caller {
            Ok(expires_at)
        } else {
            Err(ended("what the caller may do has changed"))
        }
    }
}

/// Lets a stream last until its caller has to prove itself again, see [`Standing::over`].
pub fn while_proved<T: Send + 'static>(
    standing: Standing,
    proof: Duration,
    answers: BoxStream<'static, Result<T, Status>>,
) -> BoxStream<'static, Result<T, Status>> {
    if !standing.caller.is_outside() {
        return answers;
    }
    let over = Box::pin(standing.over(proof));
    let next = move |state| async move {
        let (mut answers, mut over): (BoxStream<'static, _>, _) = state?;
        tokio::select! {
            biased;
            failure = &mut over => Some((Err(Status::from(failure)), None)),
            answer = answers.next() => answer.map(|answer| (answer, Some((answers, over)))),
        }
    };
    stream::unfold(Some((answers, over)), next).boxed()
}

/// Returns when to ask after a change, at the latest when it was to be asked anyway.
fn soon(look: Instant) -> Instant {
    look.min(Instant::now() + SPREAD.mul_f64(rand::random()))
}

/// Tells whether nobody could be asked; `DRAINING` is what is said of a caller who has changed.
fn is_nobodys_word(failure: &Failure) -> bool {
    failure.is_transient() && failure.reason() != &reason::DRAINING
}

fn is_for_good(failure: &Failure) -> bool {
    [&reason::CREDENTIAL_INVALID, &reason::TENANT_INACTIVE].contains(&failure.reason())
}

fn ended(why: &str) -> Failure {
    Failure::new(&reason::DRAINING, format!("{why}; open it again")).retry_after(Duration::from_secs(1))
}
