//! The form of a token: `base64url(header).base64url(claims).base64url(signature)`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::Error;

/// Longest key id that is looked for.
const LONGEST_KID: usize = 256;

/// Tells whether a text has the form of a token, whatever it says: three segments of base64url. An API key has no dots.
pub(crate) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_' | b'.');
    // Looked at to the end in any case, because many bytes at a time are then; every request is asked.
    text.bytes().fold(true, |all, byte| all & fits(byte)) && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// A token, taken apart; nothing of it is proved.
pub(super) struct Compact<'a> {
    /// What is signed.
    pub(super) signed: &'a str,
    pub(super) header: Header,
    claims: &'a str,
    pub(super) signature: Vec<u8>,
}

/// Of a header, what is looked at. It never brings a key: `jwk`, `jku`, `x5u`, `x5c` are passed over.
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Error> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed("it has three segments"))?;
        let (header, claims) = signed.split_once('.').ok_or(Error::Malformed("it has three segments"))?;
        let header = Header::read(&members(header)?)?;
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err(Error::Malformed("it is not signed"));
        }
        Ok(Self { signed, header, claims, signature })
    }

    /// Reads the claims; to be done once the signature was found to fit.
    pub(super) fn claims(&self) -> Result<Members, Error> {
        members(self.claims)
    }
}

impl Header {
    fn read(members: &Members) -> Result<Self, Error> {
        let text = |name: &str| match members.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Error::Malformed("a text of its header is none")),
        };
        // Whoever does not understand an extension that is critical must refuse; none is understood here.
        if members.0.contains_key("crit") {
            return Err(Error::Header("`crit` names extensions, and none are known"));
        }
        if let Some(kind) = text("typ")? {
            let kind = kind.to_ascii_lowercase();
            if !matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt") {
                return Err(Error::Header("`typ` is neither JWT nor at+jwt"));
            }
        }
        let kid = text("kid")?;
        if kid.is_some_and(|kid| kid.len() > LONGEST_KID) {
            return Err(Error::UnknownKey);
        }
        let algorithm = text("alg")?.ok_or(Error::Header("`alg` is missing"))?;
        Ok(Self { algorithm: algorithm.to_owned(), kid: kid.map(str::to_owned) })
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, Error> {
    // Refuses padding and bits that say nothing, so that no token can be written in two ways.
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Error::Malformed("a segment is not base64url"))
}

fn members(segment: &str) -> Result<Members, Error> {
    let bytes = decode(segment)?;
    serde_json::from_slice(&bytes).map_err(|_| Error::Malformed("a segment is no JSON object whose names differ"))
}

/// A JSON object in which no name stands twice: of two claims, two readers may take different ones.
#[derive(Debug)]
pub(super) struct Members(pub(super) BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Members(members))
    }
}
