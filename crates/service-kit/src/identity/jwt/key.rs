//! Keys, and what each of them can verify: a key has one algorithm, whatever a token says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Deserialize;
use serde_json::Value;

use super::error::Error;
use crate::config::Secret;

/// Largest RSA key; larger ones only cost time.
const LONGEST_MODULUS: usize = 1024;
/// Smallest RSA key, 2048 bits.
const SHORTEST_MODULUS: usize = 256;

/// A key that verifies tokens.
pub(super) enum Key {
    Hs256(hmac::Key),
    Rs256 {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point of P-256.
    Es256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// Takes a shared secret.
    pub(super) fn hs256(secret: &Secret) -> Self {
        Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
    }

    /// Checks a signature. Fails when the token names another algorithm than the key's, before anything is computed.
    pub(super) fn verify(&self, algorithm: &str, signed: &str, signature: &[u8]) -> Result<(), Error> {
        if !self.algorithms().contains(&algorithm) {
            return Err(Error::Header("`alg` is not the algorithm of its key"));
        }
        let signed = signed.as_bytes();
        let fits = match self {
            // Compares in constant time.
            Self::Hs256(key) => hmac::verify(key, signed, signature),
            Self::Rs256 { modulus, exponent } => {
                let key = signature::RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            Self::Es256(point) => {
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            Self::Ed25519(point) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, point).verify(signed, signature)
            }
        };
        fits.map_err(|_| Error::Signature)
    }

    /// The names of the one algorithm.
    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Hs256(_) => &["HS256"],
            Self::Rs256 { .. } => &["RS256"],
            Self::Es256(_) => &["ES256"],
            Self::Ed25519(_) => &["EdDSA", "Ed25519"],
        }
    }
}

/// A public key as an issuer publishes it (RFC 7517).
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    pub(super) kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half, which does not belong there.
    d: Option<Value>,
}

impl Jwk {
    /// Returns the key, if it is a public one that verifies signatures of a kind that is served. A symmetric key is none:
    /// whoever can fetch it could sign.
    pub(super) fn key(&self) -> Option<Key> {
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = self.key_ops.as_ref().is_none_or(|uses| uses.iter().any(|word| word == "verify"));
        if !signs || !verifies || self.d.is_some() {
            return None;
        }
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => rsa(&decode(self.n.as_ref())?, &decode(self.e.as_ref())?)?,
            ("EC", Some("P-256")) => {
                let (x, y) = (exactly_32(self.x.as_ref())?, exactly_32(self.y.as_ref())?);
                Key::Es256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Key::Ed25519(exactly_32(self.x.as_ref())?),
            _ => return None,
        };
        let named = self.alg.as_deref().is_none_or(|name| key.algorithms().contains(&name));
        named.then_some(key)
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Key> {
    let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let (modulus, exponent) = (strip(modulus), strip(exponent));
    let fits = (SHORTEST_MODULUS..=LONGEST_MODULUS).contains(&modulus.len()) && (1..=8).contains(&exponent.len());
    fits.then_some(Key::Rs256 { modulus, exponent })
}

fn exactly_32(text: Option<&String>) -> Option<Vec<u8>> {
    decode(text).filter(|bytes| bytes.len() == 32)
}

fn decode(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}
