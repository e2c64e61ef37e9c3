//! Frames that no honest client sends.

use std::time::Duration;

use action::TaskId;
use futures::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Raw, Socket};
use crate::mesh::Mesh;
use crate::socket::response;

const TEXT: u8 = 1;
const MORE: u8 = 0;

/// Writes a masked frame; `announced` is the length in its head.
fn frame(fin: bool, opcode: u8, announced: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode, 0x80 | 127];
    bytes.extend(announced.to_be_bytes());
    // A mask of zeros leaves the payload as it is.
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn whole(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(fin, opcode, payload.len() as u64, payload)
}

#[tokio::test]
async fn what_breaks_the_protocol_is_told_so_and_closed() {
    let mesh = Mesh::start().await;
    let unmasked = vec![0x81, 0x02, b'{', b'}'];
    let reserved_bits = vec![0xf1, 0x80, 0, 0, 0, 0];
    for (what, bytes, code) in [
        ("invalid UTF-8", whole(true, TEXT, &[0xff, 0xfe, 0xc3]), 4509),
        ("an unknown opcode", whole(true, 5, b"x"), 4509),
        ("reserved bits", reserved_bits, 4509),
        ("no mask", unmasked, 4509),
        ("a piece of nothing", whole(true, MORE, b"x"), 4509),
        ("a long ping", whole(true, 9, &[0; 200]), 4509),
        ("64 MiB", frame(true, TEXT, 64 << 20, &[b'x'; 1024]), 4513),
        ("more than there is", frame(true, TEXT, u64::MAX >> 1, b"x"), 4513),
    ] {
        let mut raw = Raw::open(&mesh, "pro-1").await;
        raw.write(&bytes).await;
        assert_eq!(raw.closed().await, Some(code), "{what}");
    }
}

#[tokio::test]
async fn a_giant_in_pieces_is_not_put_together() {
    let mesh = Mesh::start().await;
    let mut raw = Raw::open(&mesh, "pro-1").await;
    raw.write(&whole(false, TEXT, &vec![b' '; 30_000])).await;
    raw.write(&whole(false, MORE, &vec![b' '; 30_000])).await;
    raw.write(&whole(false, MORE, &vec![b' '; 30_000])).await;
    assert_eq!(raw.closed().await, Some(4513));
}

#[tokio::test]
async fn compression_is_not_agreed_on_and_a_frame_that_is_compressed_all_the_same_is_not_unpacked() {
    let mesh = Mesh::start().await;
    let offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
    let mut raw = Raw::open_with(&mesh, "pro-1", offer).await;
    let head = raw.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-extensions"), "{head}");
    // The first reserved bit says that it is; the rest is the beginning of a long row of spaces.
    let mut bytes = whole(true, TEXT, b"\xec\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7\x4f\xad\x0f\x07");
    bytes[0] |= 0x40;
    raw.write(&bytes).await;
    assert_eq!(raw.closed().await, Some(4509));
}

#[tokio::test]
async fn whatever_a_client_sends_its_neighbours_are_served() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    for bytes in [frame(true, TEXT, 60_000, b"{"), vec![0x81], frame(false, TEXT, 1, b"{")] {
        // Begun and left: dropped at once.
        Raw::open(&mesh, "pro-1").await.write(&bytes).await;
    }
    for said in [
        Message::text("null"),
        Message::text(""),
        Message::text("[".repeat(60_000)),
        Message::text(format!(r#"{{"type":"{}"}}"#, "x".repeat(60_000))),
        Message::text(r#"{"type":"ack","seq":1e400}"#),
        Message::text(r#"{"type":"ack","seq":18446744073709551616}"#),
        Message::text(r#"{"type":"send","data":{"agent_id":{"$gt":""},"message":"m"}}"#),
        Message::text(r#"{"type":"subscribe","data":{"tasks":{"0":"x"}}}"#),
        Message::binary(vec![0; 60_000]),
    ] {
        socket.0.send(said).await.unwrap();
        let error = socket.expect("error").await;
        assert!(error.to_string().len() < 1000, "nothing large is echoed");
    }
    mesh.orchestrator.append("pro-1", "session-1", &TaskId::new().to_string(), response("still here"));
    socket.expect("agent_response").await;
    socket.say(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    let health = || async { mesh.get("/ws/health", "pro-1").await.body["connections"].as_u64() };
    testkit::eventually(Duration::from_secs(10), || async { health().await == Some(1) }).await;
}
