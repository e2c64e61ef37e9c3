//! An authority that issues certificates into a folder of its own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use tempfile::TempDir;

/// An authority of a test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// Files of a certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Panics
    ///
    /// Panics when there is no folder for it.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", folder.path().display()));
        let certificate = params.self_signed(&key).expect("signed by itself");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Returns the file of the authority's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate for names: DNS, IP or URI. An earlier one in files of the same name is replaced.
    ///
    /// # Panics
    ///
    /// Panics when a name is none.
    pub fn issue(&self, file: &str, names: &[&str]) -> Issued {
        self.write(file, names, |_| {})
    }

    /// Issues a certificate that expired long ago.
    ///
    /// # Panics
    ///
    /// Panics when a name is none.
    pub fn issue_expired(&self, file: &str, names: &[&str]) -> Issued {
        self.write(file, names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn write(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let (uris, plain): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let plain: Vec<String> = plain.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(plain).expect("names");
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().expect("a URI"))));
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let issued = Issued { cert: self.path(file, "crt"), key: self.path(file, "key") };
        put(&issued.key, &key.serialize_pem());
        put(&issued.cert, &certificate.pem());
        issued
    }

    fn path(&self, file: &str, extension: &str) -> PathBuf {
        self.folder.path().join(format!("{file}.{extension}"))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Exchanges a file as a whole.
fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("written");
    std::fs::rename(&beside, path).expect("exchanged");
}
