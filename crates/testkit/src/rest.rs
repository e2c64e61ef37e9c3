//! What a server says until it has said everything.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

/// Reads until the server closes the connection; a reset is an end as well.
///
/// # Panics
///
/// Panics when nothing comes for 10 seconds.
pub async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let reading = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await;
        match reading.unwrap_or_else(|_| panic!("not closed after {:?}", String::from_utf8_lossy(&all))) {
            Ok(0) | Err(_) => return all,
            Ok(read) => all.extend_from_slice(&piece[..read]),
        }
    }
}
