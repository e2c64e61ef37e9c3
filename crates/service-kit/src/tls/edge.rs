//! TLS of the edge: one certificate, no questions to the client.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::files::{Kept, Made, Pair, provider};
use super::{TlsError, TlsFiles};
use crate::Tasks;

/// What the edge shows. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct EdgeTls(Arc<Kept<Arc<ServerConfig>>>);

impl EdgeTls {
    /// Reads the files.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let (files, paths) = (files.clone(), vec![files.cert.clone(), files.key.clone()]);
        let make = move |contents: &[Vec<u8>]| {
            let pair = Pair::parse((&files.cert, &contents[0]), (&files.key, &contents[1]))?;
            let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
            let builder = builder.map_err(TlsError::Pair)?.with_no_client_auth();
            let mut config = builder.with_single_cert(pair.chain, pair.key).map_err(TlsError::Pair)?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(Made { value: Arc::new(config), expires: pair.expires })
        };
        Kept::open("edge", paths, make).map(Arc::new).map(Self)
    }

    /// Takes changes of the files over, until the tasks end.
    pub fn follow(&self, tasks: &Tasks) {
        self.0.follow(tasks);
    }

    /// Shakes hands with a client. Returns the stream, and whether the two agreed on HTTP/2.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, bool)> {
        let config = Arc::clone(&self.0.current().value);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, is_h2))
    }
}
