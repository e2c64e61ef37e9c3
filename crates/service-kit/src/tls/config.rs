//! Settings of TLS.

use std::path::PathBuf;

use super::{EdgeTls, MeshTls};
use crate::config::Settings;

/// A certificate and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that lead from it to an authority.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads `GATEWAY_TLS_CERT` and `GATEWAY_TLS_KEY`: both or none, and files that can be used.
    pub fn read_edge(settings: &mut Settings) -> Option<Self> {
        let [cert, key] = together(settings, ["GATEWAY_TLS_CERT", "GATEWAY_TLS_KEY"])?;
        let files = Self { cert, key };
        if let Err(error) = EdgeTls::open(&files) {
            settings.reject("GATEWAY_TLS_CERT", error.in_words());
        }
        Some(files)
    }
}

/// Whether callers must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Every connection shows one.
    #[default]
    Required,
    /// Connections without one are taken; what comes over them must carry a credential, and no identity of the mesh.
    Optional,
}

/// TLS between services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshTlsConfig {
    /// What this process shows, to callers and when it calls.
    pub files: TlsFiles,
    /// Authorities of the mesh; nobody else's certificates count.
    pub ca: PathBuf,
    /// Names (DNS, URI or IP) of which the certificate of a caller must carry one; any when empty.
    pub allowed_names: Vec<String>,
    /// Whether callers must show a certificate.
    pub client: ClientCertificate,
}

impl MeshTlsConfig {
    /// Reads `MESH_TLS_CERT`, `MESH_TLS_KEY`, `MESH_TLS_CA` (all or none), `MESH_TLS_ALLOWED_NAMES` and `MESH_TLS_CLIENT`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let allowed_names = settings.get("MESH_TLS_ALLOWED_NAMES", Vec::new());
        let words = [("required", ClientCertificate::Required), ("optional", ClientCertificate::Optional)];
        let client = settings.choose("MESH_TLS_CLIENT", "required", &words);
        let [cert, key, ca] = together(settings, ["MESH_TLS_CERT", "MESH_TLS_KEY", "MESH_TLS_CA"])?;
        let config = Self { files: TlsFiles { cert, key }, ca, allowed_names, client };
        if let Err(error) = MeshTls::open(&config) {
            settings.reject("MESH_TLS_CERT", error.in_words());
        }
        Some(config)
    }
}

/// Reads settings that make sense together only; each that is missing beside another one is named.
fn together<const N: usize>(settings: &mut Settings, names: [&str; N]) -> Option<[PathBuf; N]> {
    let paths: [Option<PathBuf>; N] = names.map(|name| settings.optional(name));
    let given: Vec<_> = names.iter().zip(&paths).filter(|(_, path)| path.is_some()).map(|(name, _)| *name).collect();
    for (name, _) in names.iter().zip(&paths).filter(|(_, path)| path.is_none()) {
        if let Some(beside) = given.first() {
            settings.reject(name, format!("required, as {beside} is set"));
        }
    }
    let all: Option<Vec<PathBuf>> = paths.into_iter().collect();
    all.and_then(|all| all.try_into().ok())
}
