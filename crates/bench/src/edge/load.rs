//! A closed loop of requests over kept connections: as cheap as it can be, so that what is measured is the other side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::beside;
use super::world::Guest;
use crate::samples::Samples;

/// The message that is sent, about a hundred bytes with its braces.
const BODY: &str =
    r#"{"message":"How many requests may a tenant of the tier professional make within a minute, please?"}"#;

/// One request, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    address: String,
    request: Arc<[u8]>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How long one answer took.
    pub(crate) latency: Samples,
}

impl Outcome {
    /// Returns how many answers came.
    pub(crate) fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Returns how many answers came a second.
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 answers")]
    pub(crate) fn per_second(&self) -> f64 {
        self.requests() as f64 / self.seconds.max(1e-9)
    }

    /// Adds what came after it.
    pub(crate) fn join(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.seconds += other.seconds;
        self.latency.join(&other.latency);
    }

    /// Fails unless every answer had this status.
    pub(crate) fn all(&self, status: u16) -> Result<()> {
        if self.statuses.keys().any(|other| *other != status) || self.statuses.is_empty() {
            bail!("all answers should have status {status}, and they have {:?}", self.statuses);
        }
        Ok(())
    }
}

impl Load {
    /// A request without anything that the gateway needs.
    pub(crate) fn plain(address: String, path: &str) -> Self {
        Self::new(address, path, "")
    }

    /// A message of a tenant, as a browser's program sends it.
    pub(crate) fn chat(address: String, guest: &Guest) -> Self {
        let Guest { tenant, tier, agent, token } = guest;
        let headers = format!(
            "authorization: Bearer {token}\r\nx-tenant-id: {tenant}\r\nx-tenant-tier: {tier}\r\nx-agent-id: {agent}\r\n\
             x-session-id: bench-session\r\nx-user-id: someone\r\n"
        );
        Self::new(address, "/api/chat/send", &headers)
    }

    fn new(address: String, path: &str, headers: &str) -> Self {
        let length = BODY.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             {headers}\r\n{BODY}"
        );
        Self { address, request: request.into_bytes().into() }
    }

    /// Sends over so many connections, for so long.
    pub(crate) async fn run(&self, connections: usize, time: Duration) -> Result<Outcome> {
        let begun = Instant::now();
        let running: Vec<_> = (0..connections).map(|_| beside(self.clone().one(begun + time))).collect();
        let mut whole = Outcome::default();
        for one in running {
            whole.join(&one.await??);
        }
        whole.seconds = begun.elapsed().as_secs_f64();
        Ok(whole)
    }

    async fn one(self, end: Instant) -> Result<Outcome> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut buffer, mut outcome) = (vec![0; 16 * 1024], Outcome::default());
        while Instant::now() < end {
            let sent = Instant::now();
            stream.write_all(&self.request).await?;
            let status = answer(&mut stream, &mut buffer).await?;
            outcome.latency.add(sent.elapsed().as_secs_f64() * 1e3);
            *outcome.statuses.entry(status).or_default() += 1;
        }
        Ok(outcome)
    }
}

/// Reads one whole answer and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u16> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!("the connection was closed, or an answer is longer than it should be");
        }
        filled += read;
        let Some(head) = find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let (status, length) = read_head(&buffer[..head])?;
        if filled >= head + 4 + length {
            return Ok(status);
        }
    }
}

fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let text = std::str::from_utf8(head).context("a head of plain text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status.context("an answer has a status")?, length.context("an answer has a length")?))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_length_are_read_from_a_head() {
        let read = |head: &str| read_head(head.as_bytes()).ok();
        assert_eq!(read("HTTP/1.1 429 Too Many Requests\r\nDate: x\r\nContent-Length: 17"), Some((429, 17)));
        assert_eq!(read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"), None);
        assert_eq!(read("nonsense"), None);
    }

    #[test]
    fn one_other_status_spoils_all() {
        let outcome =
            |statuses: &[(u16, u64)]| Outcome { statuses: statuses.iter().copied().collect(), ..Outcome::default() };
        assert!(outcome(&[(200, 7)]).all(200).is_ok());
        assert!(outcome(&[(200, 7), (429, 1)]).all(200).is_err() && outcome(&[]).all(200).is_err());
    }
}
