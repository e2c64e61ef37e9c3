//! Where an outside credential stands in a request.

use std::fmt;

use fault::{Failure, reason};
use http::{HeaderMap, HeaderName, header};

/// What a caller presented to prove who it is. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential(String);

/// Subprotocol that carries a credential, for browsers, which cannot set headers on an upgrade.
const BEARER_PROTOCOL: &str = "bearer.";

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

impl Credential {
    /// Takes what a first frame carried.
    pub(crate) fn new(token: &str) -> Result<Self, Failure> {
        let token = token.trim();
        if token.is_empty() { Err(missing()) } else { Ok(Self(token.to_owned())) }
    }

    /// Returns the text, to be proved and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Reads `Authorization: Bearer` or `X-API-Key`. Given both ways, they must be the same.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        Self::find(headers)?.ok_or_else(missing)
    }

    /// Like [`Credential::of`], for callers that may present it later.
    pub(crate) fn find(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let bearer = once(headers, &header::AUTHORIZATION)?.map(bearer).transpose()?;
        let key = once(headers, &API_KEY)?.map(Self::new).transpose()?;
        match (bearer, key) {
            (Some(bearer), Some(key)) if bearer != key => {
                Err(Failure::new(&reason::CREDENTIAL_INVALID, "Authorization and X-API-Key carry different keys")
                    .field("X-API-Key"))
            }
            (bearer, key) => Ok(bearer.or(key)),
        }
    }

    /// Like [`Credential::find`]; `bearer.<key>` may stand among the subprotocols offered as well.
    pub(crate) fn find_on_upgrade(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let offered = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|offered| offered.split(','))
            .find_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL))
            .map(Self::new)
            .transpose()?;
        match (Self::find(headers)?, offered) {
            (Some(sent), Some(offered)) if sent != offered => {
                let text = "a header and the subprotocol `bearer.` carry different keys";
                Err(Failure::new(&reason::CREDENTIAL_INVALID, text).field("Sec-WebSocket-Protocol"))
            }
            (sent, offered) => Ok(sent.or(offered)),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn bearer(value: &str) -> Result<Credential, Failure> {
    let (scheme, token) = value.trim().split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        return Credential::new(token);
    }
    Err(Failure::new(&reason::CREDENTIAL_INVALID, "Authorization must be `Bearer <key or token>`")
        .field("Authorization"))
}

fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let shown = if *name == API_KEY { "X-API-Key" } else { "Authorization" };
    if values.next().is_some() {
        return Err(Failure::new(&reason::DUPLICATE_HEADER, format!("{shown} stands more than once")).field(shown));
    }
    value.to_str().map(Some).map_err(|_| {
        Failure::new(&reason::CREDENTIAL_INVALID, format!("{shown} holds characters that no key has")).field(shown)
    })
}

fn missing() -> Failure {
    Failure::new(&reason::CREDENTIAL_REQUIRED, "send `Authorization: Bearer <key or token>` or `X-API-Key: <key>`")
}

#[cfg(test)]
mod tests;
