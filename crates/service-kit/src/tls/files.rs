//! PEM files, and what was made of them, kept up to date.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::VerifierBuilderError;
use sha2::{Digest as _, Sha256};

use super::certificate;
use crate::Tasks;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificate, or no private key, in PEM.
    #[error("{path} holds no {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Certificate and key do not fit, or are of a kind that is not known.
    #[error("certificate and key cannot be used")]
    Pair(#[source] rustls::Error),
    /// No authority can be trusted.
    #[error("the authorities cannot be used")]
    Authorities(#[source] VerifierBuilderError),
    /// A certificate is not one.
    #[error("the certificate cannot be understood")]
    Certificate,
}

impl TlsError {
    /// Says everything in one line, for a person.
    pub fn in_words(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

/// What is made of files, and until when the certificate among them counts.
#[derive(Debug)]
pub(super) struct Made<T> {
    pub(super) value: T,
    pub(super) expires: SystemTime,
}

type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<Made<T>, TlsError> + Send + Sync>;

/// What was last made of files.
pub(super) struct Kept<T> {
    /// What the metric calls it.
    name: &'static str,
    paths: Vec<PathBuf>,
    make: Make<T>,
    current: RwLock<Arc<Made<T>>>,
    /// Of the files that were looked at last, whether they could be used or not.
    seen: Mutex<[u8; 32]>,
}

impl<T> std::fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("name", &self.name).field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Reads the files for the first time.
    pub(super) fn open(
        name: &'static str,
        paths: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<Made<T>, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let contents = read(&paths)?;
        let current = RwLock::new(Arc::new(make(&contents)?));
        let seen = Mutex::new(digest(&contents));
        Ok(Self { name, paths, make: Box::new(make), current, seen })
    }

    /// Returns what counts now.
    pub(super) fn current(&self) -> Arc<Made<T>> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files again and again, until the process ends.
    pub(super) fn follow(self: &Arc<Self>, tasks: &Tasks) {
        let (kept, ending) = (Arc::clone(self), tasks.ending());
        tasks.spawn(async move {
            loop {
                telemetry::metric::tls::expiry(kept.name, left(kept.current().expires));
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = ending.cancelled() => return,
                }
                let looking = Arc::clone(&kept);
                let _panicked = tokio::task::spawn_blocking(move || looking.look()).await;
            }
        });
    }

    /// Takes what the files hold now, if it is other than before and can be used.
    fn look(&self) {
        let looked = read(&self.paths).and_then(|contents| {
            let found = digest(&contents);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == found {
                return Ok(false);
            }
            // Files that are exchanged one after the other do not fit for a moment; the next look will see them whole.
            *seen = found;
            drop(seen);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new((self.make)(&contents)?);
            Ok(true)
        });
        match looked {
            Ok(true) => tracing::info!(certificate = self.name, "certificate taken from its changed files"),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                certificate = self.name,
                error = error.in_words(),
                "changed certificate cannot be used; the one before stays"
            ),
        }
    }
}

/// Returns the seconds until a moment, less than nothing after it.
fn left(expires: SystemTime) -> f64 {
    match expires.duration_since(SystemTime::now()) {
        Ok(left) => left.as_secs_f64(),
        Err(past) => -past.duration().as_secs_f64(),
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, TlsError> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
    paths.iter().map(read).collect()
}

fn digest(contents: &[Vec<u8>]) -> [u8; 32] {
    let each = contents.iter().flat_map(|content| Sha256::digest(content).to_vec());
    Sha256::digest(each.collect::<Vec<u8>>()).into()
}

// === what files hold ===

/// The cryptography that is used, whatever else the process has.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate with its key.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) expires: SystemTime,
}

impl Pair {
    /// Takes the contents of the two files, whose names stand in what is wrong with them.
    pub(super) fn parse(cert: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, TlsError> {
        let chain = certificates(cert.0, cert.1)?;
        let expires = certificate::expires(&chain[0])?;
        let (path, what) = (key.0.to_owned(), "private key");
        let key = PrivateKeyDer::from_pem_slice(key.1).map_err(|_| TlsError::Pem { path, what })?;
        Ok(Self { chain, key, expires })
    }
}

/// Returns the certificates of a file, at least one.
pub(super) fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(none)
}
