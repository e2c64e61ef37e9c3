//! One connection: its handshake, its version of HTTP, its limits and its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use service_kit::tls::EdgeTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::clock::{Answered, Clock, Patience};
use super::heard::Heard;
use crate::client::{Peer, Proxies};
use crate::head::TwoLengths;
use crate::spent::Spent;

/// Most bytes of a request's line and headers that are read at all; a little more than is taken, so that most of those who send
/// too much hear why.
const MOST_HEAD: usize = 32 * 1024;
/// Requests of a connection at once.
const STREAMS: u32 = 100;
/// Most requests of a connection that were taken back before they were looked at; more end it.
const PENDING_RESETS: usize = 20;
/// Most mistakes of a client that its connection outlives.
const ERRORS: usize = 50;
/// A client that vanished without a word is noticed by its silence.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(10);
/// How long a client that is connected already may take for its first request when the process ends.
const FIRST: Duration = Duration::from_secs(1);
/// What a client that speaks HTTP/2 without TLS says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all connections have in common.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) router: Router,
    pub(super) tls: Option<EdgeTls>,
    pub(super) h2c: bool,
    pub(super) patience: Patience,
    pub(super) proxies: Proxies,
    pub(super) spent: Spent,
    /// Comes when requests in flight are finished and no other is taken.
    pub(super) ending: CancellationToken,
    /// Whether the process ends already: what is asked next is asked of another one.
    pub(super) is_late: bool,
}

/// Why a connection ended other than it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the handshake failed")]
    Handshake(#[source] std::io::Error),
    #[error("no handshake in time")]
    NoHandshake,
    #[error("the client was given up")]
    Late,
    #[error("the client broke the protocol or went away")]
    Http(#[from] hyper::Error),
}

impl Ended {
    /// Returns a word for it, where the connection was ended by us.
    pub(super) fn refused(&self) -> Option<&'static str> {
        match self {
            Self::Handshake(_) | Self::NoHandshake => Some("handshake"),
            Self::Late => Some("late"),
            Self::Io(_) | Self::Http(_) => None,
        }
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve(stream: TcpStream, address: SocketAddr, terms: Terms) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let is_secure = terms.tls.is_some();
    let peer = Peer { address, is_secure };
    if let Some(tls) = terms.tls.clone() {
        let shaken = in_time(&terms, tls.accept(stream)).await;
        let (stream, is_h2) = shaken.ok_or(Ended::NoHandshake)?.map_err(Ended::Handshake)?;
        return speak(stream, is_h2, peer, terms).await;
    }
    let is_h2 = terms.h2c && in_time(&terms, says_h2(&stream)).await.ok_or(Ended::Late)??;
    speak(stream, is_h2, peer, terms).await
}

/// Waits for what stands before the first request, as long as for its head, and no longer than a moment when the process ends.
async fn in_time<T>(terms: &Terms, work: impl Future<Output = T>) -> Option<T> {
    let hurry = async {
        terms.ending.cancelled().await;
        tokio::time::sleep(FIRST).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = tokio::time::sleep(terms.patience.head) => None,
        () = hurry => None,
    }
}

/// Tells whether a client begins with HTTP/2. What it said stays to be read.
async fn says_h2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut said = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut said).await?;
        if length == said.len() || said[..length] != PREFACE[..length] || length == 0 {
            return Ok(said[..] == PREFACE[..]);
        }
        // It began and has not ended; peeking again would say the same at once.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn speak<S>(stream: S, is_h2: bool, peer: Peer, terms: Terms) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let clock = Clock::start(terms.patience, is_h2);
    let terms = Arc::new(terms);
    let (answering, shared) = (clock.clone(), Arc::clone(&terms));
    let service = service_fn(move |request| answer(Arc::clone(&shared), peer, answering.clone(), request));
    let io = TokioIo::new(Heard::new(stream, clock.clone(), terms.patience.write));
    if is_h2 {
        let mut serving = pin!(h2().serve_connection(io, service));
        let graceful = |serving: Pin<&mut http2::Connection<_, _, _>>| serving.graceful_shutdown();
        run(&mut serving, graceful, &clock, &terms.ending).await
    } else {
        let mut serving = pin!(h1().serve_connection(io, service).with_upgrades());
        let graceful = |serving: Pin<&mut http1::UpgradeableConnection<_, _>>| serving.graceful_shutdown();
        run(&mut serving, graceful, &clock, &terms.ending).await
    }
}

fn h1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // It has no timer: the clock knows the times, and hyper would set one for every request.
    builder.header_read_timeout(None).max_buf_size(MOST_HEAD);
    builder
}

fn h2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERRORS)
        .max_header_list_size(u32::try_from(crate::head::MOST_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER);
    builder
}

/// Moves a connection until it ends by itself, its client has had time enough, or the process ends and it has finished.
async fn run<C>(
    serving: &mut Pin<&mut C>,
    graceful: impl Fn(Pin<&mut C>),
    clock: &Clock,
    ending: &CancellationToken,
) -> Result<(), Ended>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    // Whether it shall end, and whether it was told so.
    let (mut asked, mut told) = (false, false);
    let mut ended = pin!(ending.cancelled());
    let mut alarm = pin!(tokio::time::sleep_until(clock.until().unwrap_or_else(Instant::now)));
    loop {
        let step = poll_fn(|cx| {
            if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                return Poll::Ready(Step::Ended(ended));
            }
            if is_late(alarm.as_mut(), clock, cx) {
                return Poll::Ready(Step::Late);
            }
            if told || (asked && clock.is_new()) {
                return Poll::Pending;
            }
            if asked { Poll::Ready(Step::Asked) } else { ended.as_mut().poll(cx).map(|()| Step::Asked) }
        });
        match step.await {
            Step::Ended(ended) => return Ok(ended?),
            Step::Late if asked && (clock.is_new() || clock.rests()) => return Ok(()),
            Step::Late if !clock.rests() => return Err(Ended::Late),
            Step::Late => {
                // Said rather than done, for the client that sends something at this very moment.
                (asked, told) = (true, true);
                clock.linger();
                graceful(serving.as_mut());
            }
            // hyper would close it without a word, and the first request may be on its way.
            Step::Asked if clock.is_new() => {
                asked = true;
                clock.hurry(FIRST);
            }
            Step::Asked => {
                (asked, told) = (true, true);
                graceful(serving.as_mut());
            }
        }
    }
}

enum Step {
    Ended(Result<(), hyper::Error>),
    Late,
    Asked,
}

/// Tells whether the connection has waited long enough. Most moments are put off before they come, so the alarm is left as it is
/// and set anew when it rings too early; that costs no timer a request.
fn is_late(mut alarm: Pin<&mut Sleep>, clock: &Clock, cx: &mut Context<'_>) -> bool {
    // Polling may have begun or ended a request.
    let Some(until) = clock.until() else { return false };
    if alarm.is_elapsed() || until < alarm.deadline() {
        alarm.as_mut().reset(until);
    }
    while alarm.as_mut().poll(cx).is_ready() {
        // Requests of HTTP/2 are answered by tasks of their own, which may have begun meanwhile.
        let Some(until) = clock.until() else { return false };
        if until <= Instant::now() {
            return true;
        }
        alarm.as_mut().reset(until);
    }
    false
}

/// Answers one request, and says who sent it.
async fn answer(
    terms: Arc<Terms>,
    peer: Peer,
    clock: Clock,
    mut request: Request<Incoming>,
) -> Result<Response<Answered>, Infallible> {
    // What comes behind a body whose length two readers may see differently is not looked at.
    let has_encoding = request.headers().contains_key(http::header::TRANSFER_ENCODING);
    let ends = terms.is_late || terms.ending.is_cancelled();
    let is_last = has_encoding || (ends && request.version() <= Version::HTTP_11);
    if has_encoding && clock.names_length() {
        request.extensions_mut().insert(TwoLengths);
    }
    let answering = clock.answer();
    terms.proxies.tell(peer, &mut request);
    let same = terms.spent.same(&request);
    let again = same.and_then(|same| terms.spent.answer(same, request.headers()));
    let mut response = match (again, same) {
        (Some(response), _) => response,
        (None, same) => {
            let Ok(response) = terms.router.clone().call(request.map(Body::new)).await;
            terms.spent.note(same, response).await
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        clock.upgrade();
    }
    if is_last {
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answered::new(body, answering)))
}
