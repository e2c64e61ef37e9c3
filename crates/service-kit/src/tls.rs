//! TLS out of PEM files: for the edge, and between services, where both sides show a certificate.
//!
//! Files are looked at every few seconds. What changed is used by the next connection if it can be used at all; otherwise
//! the log says why, and what was there before goes on being used. Connections that are open keep what they began with.

mod accept;
mod certificate;
mod config;
mod edge;
mod files;
mod incoming;
mod mesh;

pub use accept::Handshaken;
pub(crate) use accept::accept;
pub use config::{ClientCertificate, MeshTlsConfig, TlsFiles};
pub use edge::EdgeTls;
pub use files::TlsError;
pub use mesh::MeshTls;
