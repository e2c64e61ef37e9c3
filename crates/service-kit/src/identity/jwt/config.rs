//! Which tokens are accepted.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;

use crate::config::{Secret, Settings};

/// A shorter secret could be found by trying: HMAC-SHA256 needs as many bytes as its hash has.
const SHORTEST_SECRET: usize = 32;

/// Which tokens (JWT) are accepted as credentials; without a key none are.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    /// `JWT_SECRET` or `JWT_SECRET_FILE`: tokens signed with HS256.
    pub secret: Option<Secret>,
    /// `JWT_JWKS_URL`: where the public keys of an issuer are, for RS256, ES256 and EdDSA.
    pub jwks_url: Option<Uri>,
    /// `JWT_ISSUER`: what the claim `iss` must be.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`: what the claim `aud` must name.
    pub audience: Option<String>,
    /// `JWT_LEEWAY`: how far the issuer's clock may differ.
    pub leeway: Duration,
    /// How fetched keys are kept.
    pub jwks: JwksConfig,
}

/// How the keys of `JWT_JWKS_URL` are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksConfig {
    /// `JWT_JWKS_REFRESH`: after which time they are fetched again when one is used.
    pub refresh: Duration,
    /// `JWT_JWKS_COOLDOWN`: shortest time between two fetches, whatever key ids are presented.
    pub cooldown: Duration,
    /// `JWT_JWKS_NEGATIVE`: how long a key id that the issuer does not know stays unknown.
    pub negative: Duration,
    /// `JWT_JWKS_STALE`: how long keys are used while the issuer does not answer.
    pub stale: Duration,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            refresh: Duration::from_mins(5),
            cooldown: Duration::from_secs(10),
            negative: Duration::from_mins(1),
            stale: Duration::from_hours(1),
        }
    }
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            secret: None,
            jwks_url: None,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            jwks: JwksConfig::default(),
        }
    }
}

impl JwtConfig {
    /// Takes a secret and whose tokens are accepted.
    pub fn with_secret(secret: Secret, issuer: &str, audience: &str) -> Self {
        let (issuer, audience) = (Some(issuer.to_owned()), Some(audience.to_owned()));
        Self { secret: Some(secret), issuer, audience, ..Self::default() }
    }

    /// Accepts tokens of a secret that the product made for itself; issuer and audience are `nooble` unless they are set.
    #[must_use]
    pub fn with_own_secret(self, secret: Secret) -> Self {
        let own = || Some("nooble".to_owned());
        Self { secret: Some(secret), issuer: self.issuer.or_else(own), audience: self.audience.or_else(own), ..self }
    }

    /// Tells whether any key is configured.
    pub fn has_key(&self) -> bool {
        self.secret.is_some() || self.jwks_url.is_some()
    }

    /// Reads the settings. A key is of no use without the issuer and the audience that its tokens must name: anybody's token
    /// for anything would be accepted.
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        let secret = settings.secret("JWT_SECRET");
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST_SECRET) {
            settings.reject("JWT_SECRET", format!("has less than {SHORTEST_SECRET} bytes"));
        }
        let jwks_url: Option<Uri> = settings.optional("JWT_JWKS_URL");
        if jwks_url.as_ref().is_some_and(|url| !is_safe(url)) {
            settings.reject("JWT_JWKS_URL", "must begin with https://; http:// is for the loopback only");
        }
        let most = Duration::from_mins(5);
        let config = Self {
            secret,
            jwks_url,
            issuer: settings.optional("JWT_ISSUER"),
            audience: settings.optional("JWT_AUDIENCE"),
            leeway: settings.get_in("JWT_LEEWAY", default.leeway, Duration::ZERO..=most),
            jwks: JwksConfig::read(settings),
        };
        for (name, value) in [("JWT_ISSUER", &config.issuer), ("JWT_AUDIENCE", &config.audience)] {
            if config.has_key() && value.is_none() {
                settings.reject(name, "required beside JWT_SECRET or JWT_JWKS_URL: what the tokens must say");
            }
        }
        config
    }
}

impl JwksConfig {
    fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        let second = Duration::from_secs(1);
        Self {
            refresh: settings.get_in("JWT_JWKS_REFRESH", default.refresh, second..),
            cooldown: settings.get_in("JWT_JWKS_COOLDOWN", default.cooldown, second..),
            negative: settings.get_in("JWT_JWKS_NEGATIVE", default.negative, second..),
            stale: settings.get_in("JWT_JWKS_STALE", default.stale, second..),
        }
    }
}

/// Keys that come over a readable wire are anybody's.
fn is_safe(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => loopback,
        _ => false,
    }
}
