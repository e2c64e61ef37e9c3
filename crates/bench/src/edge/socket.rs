//! A WebSocket client that reads and never speaks: a few bytes of state, so that one process can hold thousands.

use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::Guest;

const CHUNK: usize = 4 * 1024;

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    /// Opens a socket of a tenant that follows a session, from a position (`epoch`, `seq`) if there is one.
    pub(crate) async fn follow(
        address: &str,
        guest: &Guest,
        session: &str,
        from: Option<&(String, u64)>,
    ) -> Result<Self> {
        let Guest { tenant, tier, token, .. } = guest;
        let position = from.map(|(epoch, seq)| format!("&epoch={epoch}&seq={seq}")).unwrap_or_default();
        let path = format!("/ws/{session}?tenant_id={tenant}&tier={tier}{position}");
        Self::open(address, &path, &format!("authorization: Bearer {token}\r\n")).await
    }

    /// Opens a socket.
    pub(crate) async fn open(address: &str, path: &str, headers: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut socket = Self { stream, read: Vec::new() };
        loop {
            socket.more().await?;
            if let Some(head) = socket.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let line = String::from_utf8_lossy(&socket.read[..head]).into_owned();
                if !line.starts_with("HTTP/1.1 101 ") {
                    bail!("not upgraded: {}", String::from_utf8_lossy(&socket.read));
                }
                socket.read.drain(..head + 4);
                return Ok(socket);
            }
        }
    }

    /// Returns the next text; none when the other side closes. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            while let Some(frame) = take(&mut self.read) {
                match frame.opcode {
                    TEXT => return Ok(Some(frame.payload)),
                    CLOSE => return Ok(None),
                    _ => {}
                }
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        let mut chunk = [0; CHUNK];
        let read = self.stream.read(&mut chunk).await?;
        if read == 0 {
            bail!("the connection broke");
        }
        self.read.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

/// Takes one whole frame of a server, which masks nothing, off the beginning.
fn take(read: &mut Vec<u8>) -> Option<Frame> {
    let (first, second) = (*read.first()?, *read.get(1)?);
    let (length, head) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(read.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(read.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = read.get(head..head + length)?.to_vec();
    read.drain(..head + length);
    Some(Frame { opcode: first & 0x0f, payload })
}

/// Opens many sockets, some at a time, and returns them when each has been greeted with so many texts.
pub(crate) async fn open_all<F>(
    numbers: Range<usize>,
    greetings: usize,
    open: impl Fn(usize) -> F,
) -> Result<Vec<Socket>>
where
    F: Future<Output = Result<Socket>>,
{
    use futures::{StreamExt as _, TryStreamExt as _};
    let opening = numbers.map(|number| {
        let opening = open(number);
        async move {
            let mut socket = opening.await?;
            for _ in 0..greetings {
                socket.next().await?.context("a socket is greeted")?;
            }
            anyhow::Ok(socket)
        }
    });
    futures::stream::iter(opening).buffer_unordered(64).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_and_one_by_one() {
        let mut read = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x81, 126, 0, 200];
        read.extend([b'x'; 199]);
        assert_eq!(take(&mut read).map(|frame| (frame.opcode, frame.payload)), Some((TEXT, b"hi".to_vec())));
        assert_eq!(take(&mut read).map(|frame| frame.opcode), Some(9));
        assert!(take(&mut read).is_none(), "one byte is missing");
        read.push(b'x');
        assert_eq!(take(&mut read).map(|frame| frame.payload.len()), Some(200));
        assert!(read.is_empty());
    }
}
