//! API keys: how they look, how they are made, and what is kept of them.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, Mac as _};
use rand::Rng as _;
use rand::distr::Alphanumeric;
use service_kit::config::Secret;
use service_kit::secret_file;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{Config, Error};

const PREFIX: &str = "nbl_";
/// 62^16: enough that two keys never get the same id.
const ID_LENGTH: usize = 16;
/// 62^43 is more than 2^256.
const SECRET_LENGTH: usize = 43;
/// No key of ours is longer; longer texts are not looked at.
const MAX_LENGTH: usize = 128;

/// A whole key, `nbl_<key id>_<secret>`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiKey {
    id: String,
    whole: Secret,
}

impl ApiKey {
    /// Makes a new one.
    pub(crate) fn generate() -> Self {
        let (id, secret) = (random(ID_LENGTH), random(SECRET_LENGTH));
        Self { whole: Secret::new(format!("{PREFIX}{id}_{secret}")), id }
    }

    /// Reads what somebody presents; nothing when it does not look like a key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let whole = || Secret::new(text);
        (text.len() <= MAX_LENGTH && word(id) && word(secret)).then(|| Self { id: id.to_owned(), whole: whole() })
    }

    /// Returns the public part.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the whole key, to be shown once.
    pub(crate) fn secret(&self) -> &Secret {
        &self.whole
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_***", self.id)
    }
}

fn random(length: usize) -> String {
    // The thread's generator is a cryptographic one that the operating system seeds.
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// The server's own part of every hash: with the tables alone, nobody can try keys.
pub(crate) struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// Takes the pepper of the settings, or that of the data directory, which is made at the first start.
    pub(crate) fn open(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        if let Some(pepper) = &config.key_pepper {
            return Ok(Self::new(pepper));
        }
        let path = data_dir.join("pepper.key");
        let pepper = secret_file::keep(&path, || Secret::new(random(SECRET_LENGTH))).map_err(Error::key_file(&path))?;
        Ok(Self::new(&pepper))
    }

    fn new(pepper: &Secret) -> Self {
        Self(Hmac::new_from_slice(pepper.expose().as_bytes()).expect("HMAC takes keys of any length"))
    }

    /// Returns what is stored of a key: 32 bytes.
    pub(crate) fn mac(&self, key: &ApiKey) -> Vec<u8> {
        self.0.clone().chain_update(key.whole.expose()).finalize().into_bytes().to_vec()
    }

    /// Tells in constant time whether a stored hash is that of the key.
    pub(crate) fn verify(&self, key: &ApiKey, stored: &[u8]) -> bool {
        self.mac(key).ct_eq(stored).into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

#[cfg(test)]
mod tests {
    use service_kit::config::Secret;

    use super::{ApiKey, Pepper};

    #[test]
    fn a_key_reads_back_and_no_two_are_alike() {
        let (one, other) = (ApiKey::generate(), ApiKey::generate());
        assert_eq!(ApiKey::parse(one.secret().expose()), Some(one.clone()));
        assert_ne!(one, other);
        assert_ne!(one.id(), other.id());
    }

    #[test]
    fn texts_that_are_no_keys_do_not_read() {
        let long = format!("nbl_id_{}", "x".repeat(200));
        for text in [
            "",
            "nbl_",
            "nbl__",
            "nbl_id",
            "nbl_id_",
            "nbl__secret",
            "NBL_id_secret",
            "nbl_id_se cret",
            "eyJ.e30.x",
            &long,
        ] {
            assert_eq!(ApiKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let key = ApiKey::generate();
        let secret = key.secret().expose().rsplit('_').next().unwrap();
        assert!(!format!("{key:?}").contains(secret));
        assert_eq!(format!("{:?}", Pepper::new(&Secret::new("pepper"))), "Pepper(***)");
    }

    #[test]
    fn a_hash_fits_its_key_and_its_pepper_only() {
        let (pepper, other) = (Pepper::new(&Secret::new("pepper")), Pepper::new(&Secret::new("other")));
        let key = ApiKey::generate();
        let mac = pepper.mac(&key);
        assert!(pepper.verify(&key, &mac));
        assert!(!other.verify(&key, &mac));
        assert!(!pepper.verify(&ApiKey::generate(), &mac));
        assert!(!pepper.verify(&key, &mac[..31]) && !pepper.verify(&key, b""));
    }
}
