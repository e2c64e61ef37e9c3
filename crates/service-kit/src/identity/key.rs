//! The key of the mesh.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;

use crate::config::Secret;
use crate::secret_file;

/// Reads a key from a file; makes the file with a new random key, readable for its owner only, where there is none.
pub fn key_file(path: &Path) -> io::Result<Secret> {
    secret_file::keep(path, || {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Secret::new(URL_SAFE_NO_PAD.encode(bytes))
    })
}
