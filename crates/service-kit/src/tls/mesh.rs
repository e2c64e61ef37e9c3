//! TLS between services: both sides show a certificate of the mesh's own authority.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::{Channel, Endpoint};

use super::files::{Kept, Made, Pair, certificates, provider};
use super::{ClientCertificate, MeshTlsConfig, TlsError, certificate};
use crate::Tasks;

/// What this process shows to its peers, and whom of them it trusts. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct MeshTls {
    kept: Arc<Kept<Sides>>,
    allowed_names: Arc<[String]>,
}

#[derive(Debug)]
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl MeshTls {
    /// Reads the files.
    pub fn open(config: &MeshTlsConfig) -> Result<Self, TlsError> {
        let allowed_names = config.allowed_names.clone().into();
        let (config, files) = (config.clone(), &config.files);
        let paths = vec![files.cert.clone(), files.key.clone(), config.ca.clone()];
        let make = move |contents: &[Vec<u8>]| {
            let files = &config.files;
            let pair = Pair::parse((&files.cert, &contents[0]), (&files.key, &contents[1]))?;
            let roots = Arc::new(authorities(&config.ca, &contents[2])?);
            let expires = pair.expires;
            let client = client_side(&pair, &roots)?;
            Ok(Made { value: Sides { server: server_side(pair, &roots, config.client)?, client }, expires })
        };
        Ok(Self { kept: Arc::new(Kept::open("mesh", paths, make)?), allowed_names })
    }

    /// Takes changes of the files over, until the tasks end.
    pub fn follow(&self, tasks: &Tasks) {
        self.kept.follow(tasks);
    }

    /// Shakes hands with the process behind a name, over a connection to it.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<tokio_rustls::client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidInput, "a certificate cannot carry the name of the host");
        let name = ServerName::try_from(host.to_owned()).map_err(wrong)?;
        let config = Arc::clone(&self.kept.current().value.client);
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Connects a client of the contract that is no part of the mesh's traffic, e.g. a command line.
    pub async fn channel(&self, endpoint: &Endpoint) -> Result<Channel, tonic::transport::Error> {
        let tls = self.clone();
        let connector = tower::service_fn(move |uri: Uri| {
            let tls = tls.clone();
            async move {
                let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
                let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
                tls.connect(&host, stream).await.map(TokioIo::new)
            }
        });
        endpoint.connect_with_connector(connector).await
    }

    /// Shakes hands with whoever connected. Tells whether they have shown a certificate.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(tokio_rustls::server::TlsStream<TcpStream>, bool)> {
        let config = Arc::clone(&self.kept.current().value.server);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certified = shown.is_some();
        if shown.is_some_and(|shown| !self.allows(shown)) {
            let text = "the certificate carries none of the names that are allowed";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok((stream, certified))
    }

    fn allows(&self, shown: &CertificateDer<'_>) -> bool {
        self.allowed_names.is_empty() || certificate::carries(shown, &self.allowed_names)
    }
}

fn authorities(path: &Path, content: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path, content)? {
        roots.add(authority).map_err(TlsError::Pair)?;
    }
    Ok(roots)
}

fn client_side(pair: &Pair, roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider()).build();
    let verifier = verifier.map_err(TlsError::Authorities)?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Pair)?.with_webpki_verifier(verifier);
    let config = builder.with_client_auth_cert(pair.chain.clone(), pair.key.clone_key());
    let mut config = config.map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn server_side(
    pair: Pair,
    roots: &Arc<RootCertStore>,
    client: ClientCertificate,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
    let verifier: Arc<dyn ClientCertVerifier> = match client {
        ClientCertificate::Required => verifier.build(),
        ClientCertificate::Optional => verifier.allow_unauthenticated().build(),
    }
    .map_err(TlsError::Authorities)?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Pair)?.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(pair.chain, pair.key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
