//! A network in front of a server that does what a test tells it to.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections to a port of the loopback on to a server, and lets a test disturb them. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    doors: mpsc::UnboundedSender<(bool, oneshot::Sender<()>)>,
    serving: JoinHandle<()>,
}

/// What happens to connections.
#[derive(Clone, Debug, Default)]
struct Weather {
    /// Connections that were accepted before the last of so many cuts are closed.
    cuts: u64,
    stalled: bool,
    delay: Duration,
    /// Bytes of answers that still pass before the connection that carries the last of them is reset.
    until_reset: Option<usize>,
}

/// Where a proxy leads.
#[derive(Clone, Debug)]
enum Upstream {
    Tcp(String),
    Unix(PathBuf),
}

impl Proxy {
    /// Starts in front of the server at a URL: `redis://host:port` or `unix:///path`.
    ///
    /// # Panics
    ///
    /// Panics when the URL is another one, or the loopback has no free port.
    #[expect(clippy::disallowed_methods, reason = "a test's proxy is ended by dropping it, not by draining")]
    pub async fn start(url: &str) -> Self {
        let upstream = match url.split_once("://") {
            Some(("unix", path)) => Upstream::Unix(path.into()),
            Some(("redis", host)) => Upstream::Tcp(host.split('/').next().unwrap_or(host).to_owned()),
            _ => panic!("not the URL of a server: {url}"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let weather = watch::Sender::default();
        let (doors, orders) = mpsc::unbounded_channel();
        let serving = tokio::spawn(serve(listener, upstream, weather.clone(), orders));
        Self { port, weather, doors, serving }
    }

    /// Returns the URL of the server behind the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Closes all connections; new ones are taken.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Refuses new connections, or takes them again. Those that are open stay open.
    ///
    /// # Panics
    ///
    /// Panics when somebody else has taken the port meanwhile.
    pub async fn refuse(&self, refuse: bool) {
        let (done, wait) = oneshot::channel();
        let _ = self.doors.send((refuse, done));
        wait.await.expect("the port is still there");
    }

    /// Passes nothing more, and keeps connections open; new ones are taken and as silent.
    pub fn stall(&self) {
        self.weather.send_modify(|weather| weather.stalled = true);
    }

    /// Passes everything again, what waited included.
    pub fn go_on(&self) {
        self.weather.send_modify(|weather| weather.stalled = false);
    }

    /// Resets the connection over which the last of the next `bytes` bytes of answers goes; once.
    pub fn reset_mid_reply(&self, bytes: usize) {
        self.weather.send_modify(|weather| weather.until_reset = Some(bytes));
    }

    /// Holds everything up so long, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are tasks of this one and end with it.
        self.serving.abort();
    }
}

/// Takes connections, and closes and opens the door when it is told to.
async fn serve(
    listener: TcpListener,
    upstream: Upstream,
    weather: watch::Sender<Weather>,
    mut orders: mpsc::UnboundedReceiver<(bool, oneshot::Sender<()>)>,
) {
    let address = listener.local_addr().expect("a bound socket has an address");
    let mut door = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let knock = async {
            match &door {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => {
                let Some((refuse, done)) = order else { return };
                if refuse {
                    door = None;
                } else if door.is_none() {
                    door = Some(TcpListener::bind(address).await.expect("nobody has taken the port"));
                }
                let _ = done.send(());
            }
            Ok((client, _)) = knock => {
                connections.spawn(pass(client, upstream.clone(), weather.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes one connection until either side ends it or it is cut.
async fn pass(client: TcpStream, upstream: Upstream, weather: watch::Sender<Weather>) {
    let born = weather.borrow().cuts;
    let mut changes = weather.subscribe();
    let passing = async {
        match upstream {
            Upstream::Tcp(address) => {
                let (from, to) = TcpStream::connect(address).await?.into_split();
                both(&client, from, to, &weather).await
            }
            Upstream::Unix(path) => {
                let (from, to) = UnixStream::connect(path).await?.into_split();
                both(&client, from, to, &weather).await
            }
        }
    };
    let cut = async { changes.wait_for(|weather| weather.cuts != born).await.map(|_| ()) };
    let reset = tokio::select! {
        passed = passing => passed.is_err(),
        _ = cut => false,
    };
    if reset {
        // Closing with nothing left to linger for resets the connection.
        let _ = client.set_zero_linger();
    }
}

/// Fails when the connection is to be reset.
async fn both(
    client: &TcpStream,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    weather: &watch::Sender<Weather>,
) -> io::Result<()> {
    let asking = pump(Half(client), to, weather, false);
    let answering = pump(from, Half(client), weather, true);
    tokio::select! {
        ended = asking => ended,
        ended = answering => ended,
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    weather: &watch::Sender<Weather>,
    answers: bool,
) -> io::Result<()> {
    let mut changes = weather.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let delay = weather.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if changes.wait_for(|weather| !weather.stalled).await.is_err() {
            return Ok(());
        }
        let allowed = if answers { allowed(weather, count) } else { None };
        to.write_all(&buffer[..allowed.unwrap_or(count)]).await?;
        if allowed.is_some() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}

/// Counts bytes of an answer; returns how many may still pass if the reset falls among them.
fn allowed(weather: &watch::Sender<Weather>, count: usize) -> Option<usize> {
    let mut allowed = None;
    weather.send_if_modified(|weather| {
        if let Some(left) = weather.until_reset {
            if left <= count {
                allowed = Some(left);
                weather.until_reset = None;
            } else {
                weather.until_reset = Some(left - count);
            }
        }
        false
    });
    allowed
}

/// One direction of a connection whose owner still holds it, to reset it in the end.
struct Half<'a>(&'a TcpStream);

impl AsyncRead for Half<'_> {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return std::task::Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return std::task::Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Half<'_> {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        loop {
            std::task::ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return std::task::Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
