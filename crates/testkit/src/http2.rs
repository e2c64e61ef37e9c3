//! HTTP/2 by hand, for clients that no library would be.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::rest;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Begins a request.
pub const HEADERS: u8 = 1;
/// Takes a request back.
pub const RST_STREAM: u8 = 3;
/// Says how the client wants to be spoken to.
pub const SETTINGS: u8 = 4;
/// Goes on with headers.
pub const CONTINUATION: u8 = 9;
/// Flags of headers that are whole, of a request without a body.
pub const END_STREAM_AND_HEADERS: u8 = 0x5;
/// `GET / HTTP/2` of the host `x` over http, by the static table.
pub const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

const GOAWAY: u8 = 7;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Makes a frame.
///
/// # Panics
///
/// Panics when the payload is longer than a frame can say.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Makes so many requests, each of which is taken back at once.
#[must_use]
pub fn taken_back(requests: u32) -> Vec<u8> {
    let stream = |number| 2 * number + 1;
    let one = |number| {
        let begun = frame(HEADERS, END_STREAM_AND_HEADERS, stream(number), GET);
        [begun, frame(RST_STREAM, 0, stream(number), &CANCEL)].concat()
    };
    (0..requests).flat_map(one).collect()
}

/// Begins as a client does and sends frames; returns the code with which the server ends the connection, if it says one.
///
/// # Panics
///
/// Panics when the connection is not ended within 10 seconds.
pub async fn abuse(server: SocketAddr, frames: &[u8]) -> Option<u32> {
    let mut stream = TcpStream::connect(server).await.expect("the server listens");
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat();
    // It may be closed while it still writes.
    let _closed = stream.write_all(&bytes).await;
    goaway(&rest(&mut stream).await)
}

/// Returns the code of the first GOAWAY among frames.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let payload = bytes.get(9..9 + length)?;
        if bytes[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = &bytes[9 + length..];
    }
    None
}
